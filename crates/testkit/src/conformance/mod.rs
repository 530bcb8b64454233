//! What every broker must do, seen by its clients: one list of named checks that runs against any broker.
//!
//! A check knows nothing but the [`Target`]. It makes topics and groups of its own, so checks of the same broker may run at
//! the same time; only those that kill the broker run alone. Most speak through librdkafka; what that cannot say is
//! said with the protocol itself. The list runs against Apache Kafka and against the embedded broker; where the two
//! differ, the embedded one is wrong.

mod clients;
mod clock;
mod closing;
mod cluster;
mod commits;
mod compaction;
mod configs;
mod fencing;
mod fetch;
mod group_admin;
mod group_protocol;
mod groups;
mod idempotence;
mod list_offsets;
pub mod measure;
mod members;
mod produce;
mod proxy;
mod raw;
mod restart;
mod restart_transactions;
mod retention;
mod topics;
mod transactional_groups;
mod transactions;
mod volume;

use anyhow::{Result, ensure};
use std::fmt::Debug;

/// A broker under test.
pub trait Target: Sync {
    /// `host:port` for clients.
    fn bootstrap(&self) -> String;

    /// Ends the broker as a crash would, with SIGKILL, and starts it again on the same address with the same data.
    ///
    /// # Errors
    /// When the broker does not come back.
    fn kill_and_restart(&self) -> Result<()>;
}

/// One thing that a broker must do.
#[derive(Clone, Copy)]
pub struct Check {
    /// Area and sentence: `topics::refuses_a_topic_that_exists`.
    pub name: &'static str,
    /// Whether it must be the only one that runs, because it kills the broker.
    pub alone: bool,
    /// Tells what went wrong.
    pub run: fn(&dyn Target) -> Result<()>,
}

/// Makes the table, so that no name is written twice.
macro_rules! checks {
    (@alone together) => { false };
    (@alone alone) => { true };
    ($($kind:ident $area:ident { $($name:ident),* $(,)? })*) => {
        &[$($(Check {
            name: concat!(stringify!($area), "::", stringify!($name)),
            alone: checks!(@alone $kind),
            run: $area::$name,
        }),*),*]
    };
}

/// Every check, those that run alone at the end.
pub const CHECKS: &[Check] = checks! {
    together cluster {
        says_which_apis_it_speaks,
        tells_a_newer_client_what_it_speaks,
        describes_itself,
        does_not_know_an_unknown_topic,
        lists_all_topics,
        answers_in_order,
        reads_requests_in_pieces,
        closes_on_an_absurd_length,
        closes_on_an_unknown_api,
        closes_on_an_unknown_version,
        closes_on_half_a_request,
        survives_clients_that_leave,
    }
    together topics {
        creates_topics,
        refuses_a_topic_that_exists,
        refuses_topics_that_cannot_be,
        answers_each_topic_for_itself,
        validates_without_creating,
        has_a_default_of_partitions,
        deletes_topics,
        recreates_a_topic_from_nothing,
        adds_partitions,
    }
    together configs {
        describes_what_was_set,
        describes_what_was_asked,
        describes_the_broker,
        alters_one_setting_at_a_time,
        refuses_settings_that_cannot_be,
        alters_all_settings_at_once,
        a_changed_setting_is_in_force,
    }
    together produce {
        takes_every_acknowledgement,
        keeps_records_as_they_are,
        refuses_what_is_too_large,
        keeps_the_codec,
        keeps_the_bytes_of_a_batch,
        refuses_broken_batches,
        refuses_unknown_places,
        refuses_a_compacted_record_without_key,
        keeps_the_create_time,
        sets_the_append_time,
        refuses_an_empty_batch,
    }
    together idempotence {
        a_lost_answer_makes_no_double,
        a_broken_connection_makes_no_double,
        knows_batches_by_their_sequence,
        a_new_producer_begins_at_zero,
        a_newer_epoch_ends_the_older,
    }
    together fetch {
        waits_when_there_is_nothing,
        answers_when_a_record_comes,
        answers_at_once_when_there_is_something,
        waits_for_enough,
        gives_no_more_than_was_asked,
        reads_from_the_middle_of_a_batch,
        refuses_what_is_not_there,
        resets_a_reader_that_is_out_of_range,
        reads_many_partitions_at_once,
        a_session_is_given_or_declined,
        a_deleted_topic_ends_the_wait,
    }
    together list_offsets {
        knows_both_ends,
        finds_records_by_time,
        finds_records_by_time_in_a_batch,
        deletes_records,
        answers_for_every_partition,
    }
    together group_protocol {
        a_leader_plans,
        a_rebalance_goes_step_by_step,
        refuses_joins_that_cannot_be,
        refuses_members_with_nothing_in_common,
        refuses_a_stale_generation,
        a_static_member_is_replaced_by_its_namesake,
        a_silent_member_is_removed,
        finds_the_coordinator,
    }
    together groups {
        one_member_reads_everything,
        two_members_share,
        shares_round_robin,
        cooperative_members_keep_what_they_can,
        others_take_over_after_a_crash,
        a_static_member_comes_back_unnoticed,
        heartbeats_keep_a_member,
        new_partitions_are_shared,
        groups_do_not_disturb_each_other,
    }
    together group_admin {
        describes_groups,
        lists_groups_by_state,
        deletes_groups,
    }
    together commits {
        a_group_goes_on_where_it_was,
        a_new_group_has_no_position,
        commits_by_itself,
        keeps_positions_apart,
        refuses_commits_that_cannot_be,
        forgets_positions,
    }
    together transactions {
        a_committed_one_is_seen,
        an_aborted_one_is_not,
        an_open_one_hides_what_follows,
        interleaved_ones_are_told_apart,
        tells_which_were_aborted,
        many_follow_each_other,
        a_large_one_is_whole,
        an_empty_one_ends_well,
        times_are_found_in_them,
        a_waiting_reader_wakes_at_the_end,
        gaps_are_where_markers_are,
    }
    together transactional_groups {
        every_input_has_one_output,
        positions_move_with_the_output,
        a_replaced_member_cannot_commit,
        refuses_positions_of_others,
    }
    together fencing {
        the_newer_producer_shuts_the_older_out,
        an_idle_older_producer_is_out_too,
        a_forgotten_one_is_ended,
        an_id_counts_its_epochs,
        refuses_steps_out_of_order,
        a_double_in_a_transaction_is_known,
    }
    together retention {
        old_records_go,
        too_many_records_go,
        the_rest_stays,
    }
    together compaction {
        the_newest_of_a_key_stays,
        a_tombstone_removes_its_key,
        an_aborted_record_replaces_nothing,
        an_open_transaction_is_left_alone,
    }
    together volume {
        ten_thousand_come_in_order,
        a_hundred_partitions_are_read,
        large_partitions_come_whole,
    }
    alone restart {
        everything_is_as_before,
        a_producer_goes_on,
        sequences_are_remembered,
        a_consumer_goes_on,
        what_was_acknowledged_is_there,
    }
    alone restart_transactions {
        each_is_as_it_was,
        one_can_be_finished_afterwards,
        who_was_out_is_out,
    }
};

/// Fails unless `got` is `expected`. `what` names the thing in words.
fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, got: T, expected: U) -> Result<()> {
    ensure!(got == expected, "{what}: got {got:?}, expected {expected:?}");
    Ok(())
}
