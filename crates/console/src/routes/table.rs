//! The table of routes, and the pages that are named at the head of each.

use super::{Method, Route};
use crate::pages;
use crate::people::Right;

/// All routes.
pub static ROUTES: &[Route] = &[
    Route::open(Method::Get, "/sign-in", "The form to sign in.", |ask| Box::pin(pages::sign_in::form(ask)))
        .taking(pages::sign_in::QUERY, &[]),
    Route::open(Method::Post, "/sign-in", "Signs in.", |ask| Box::pin(pages::sign_in::sign_in(ask)))
        .taking(&[], pages::sign_in::BODY),
    Route::open(Method::Get, "/sign-in/oidc", "Goes to the identity provider to sign in.", |ask| {
        Box::pin(pages::oidc::begin(ask))
    })
    .taking(pages::sign_in::QUERY, &[]),
    Route::open(Method::Get, "/sign-in/oidc/answer", "Comes back from the identity provider, and signs in.", |ask| {
        Box::pin(pages::oidc::answer(ask))
    })
    .taking(pages::oidc::ANSWER, &[])
    .lenient(),
    Route::open(Method::Post, "/sign-out", "Ends the session.", |ask| Box::pin(pages::sign_in::sign_out(ask))),
    Route::open(Method::Get, "/assets/{version}/{name}", "Style, script and icon.", |ask| {
        Box::pin(pages::assets::file(ask))
    }),
    Route::get("/", "/overview", "Overview", "Causes of what waits, rooms with their lag, and how old the oldest is.", |ask| {
        Box::pin(pages::overview::show(ask))
    }),
    Route {
        page: None,
        ..Route::get("", "/causes", "Causes", "The causes of what waits, the one with most events first.", |ask| {
            Box::pin(pages::exceptions::causes(ask))
        })
    },
    Route::act("/causes/retry", "/causes/retry", "DecisionsMade", "Has all events of a cause processed again.", |ask| {
        Box::pin(pages::causes::retry(ask))
    })
    .taking(&[], pages::causes::RETRY),
    Route::act("/causes/assign", "/causes/assign", "DecisionsMade", "Gives all exceptions of a cause to somebody, or to nobody.", |ask| {
        Box::pin(pages::causes::assign(ask))
    })
    .taking(&[], pages::causes::ASSIGN),
    Route::act("/causes/comment", "/causes/comment", "DecisionsMade", "Says something about all exceptions of a cause.", |ask| {
        Box::pin(pages::causes::comment(ask))
    })
    .taking(&[], pages::causes::SAY),
    Route::act(
        "/causes/discard",
        "/causes/discard", "DecisionsMade",
        "Gives all events of a cause up, or asks for it where a second person has to agree.",
        |ask| Box::pin(pages::causes::discard(ask)),
    )
    .taking(&[], pages::causes::DISCARD),
    Route::act(
        "/causes/approve-discard",
        "/causes/approve-discard", "DecisionsMade",
        "Agrees that the events of a cause are given up which others asked for, as they were seen.",
        |ask| Box::pin(pages::causes::approve_discard(ask)),
    )
    .with(Right::Approve)
    .taking(&[], pages::causes::APPROVE),
    Route::get("/exceptions", "/exceptions", "Exceptions", "Exceptions, filtered, by pages.", |ask| {
        Box::pin(pages::exceptions::list(ask))
    })
    .taking(pages::exceptions::QUERY, &[]),
    Route::get(
        "/exceptions/{id}",
        "/exceptions/{id}", "Exception",
        "One exception: its code, its history and its source, without what may identify a patient.",
        |ask| Box::pin(pages::exception::show(ask)),
    ),
    Route::act("/exceptions/{id}/retry", "/exceptions/{id}/retry", "DecisionMade", "Has its event processed again.", |ask| {
        Box::pin(pages::exception::retry(ask))
    })
    .taking(&[], pages::exception::COMMENT),
    Route::act("/exceptions/{id}/assign", "/exceptions/{id}/assign", "DecisionMade", "Gives it to somebody, or to nobody.", |ask| {
        Box::pin(pages::exception::assign(ask))
    })
    .taking(&[], pages::exception::ASSIGN),
    Route::act("/exceptions/{id}/comment", "/exceptions/{id}/comment", "DecisionMade", "Says something about it.", |ask| {
        Box::pin(pages::exception::comment(ask))
    })
    .taking(&[], pages::exception::SAY),
    Route::act(
        "/exceptions/{id}/discard",
        "/exceptions/{id}/discard", "DecisionMade",
        "Gives its event up, or asks for it where a second person has to agree.",
        |ask| Box::pin(pages::exception::discard(ask)),
    )
    .taking(&[], pages::exception::SAY),
    Route::act(
        "/exceptions/{id}/approve-discard",
        "/exceptions/{id}/approve-discard", "DecisionMade",
        "Agrees that its event is given up, as another person than the one who asked.",
        |ask| Box::pin(pages::exception::approve_discard(ask)),
    )
    .with(Right::Approve)
    .taking(&[], pages::exception::COMMENT),
    Route::act(
        "/exceptions/{id}/correct",
        "/exceptions/{id}/correct", "DecisionMade",
        "Has its event processed again with a field set otherwise, or asks for it where a second person has to agree.",
        |ask| Box::pin(pages::corrections::correct(ask)),
    )
    .taking(&[], pages::corrections::CORRECT),
    Route::act(
        "/exceptions/{id}/correction/approve",
        "/exceptions/{id}/correction/approve", "DecisionMade",
        "Agrees to a correction, as another person than the one who made it.",
        |ask| Box::pin(pages::corrections::approve_correction(ask)),
    )
    .with(Right::Approve)
    .taking(&[], pages::corrections::APPROVE),
    Route::act(
        "/exceptions/{id}/map",
        "/exceptions/{id}/map", "MappingChanged",
        "Says which item or place its code means, or proposes it where a second person has to agree.",
        |ask| Box::pin(pages::corrections::map(ask)),
    )
    .taking(&[], pages::corrections::MAP),
    Route::act(
        "/exceptions/{id}/map/approve",
        "/exceptions/{id}/map/approve", "MappingChanged",
        "Agrees to a mapping, as another person than the one who proposed it.",
        |ask| Box::pin(pages::corrections::approve_map(ask)),
    )
    .with(Right::Approve)
    .taking(&[], pages::corrections::APPROVE),
    Route::act("/exceptions/{id}/resolve", "/exceptions/{id}/resolve", "DecisionMade", "Marks it as settled elsewhere.", |ask| {
        Box::pin(pages::exception::resolve(ask))
    })
    .taking(&[], pages::exception::SAY),
    Route::act(
        "/exceptions/{id}/original",
        "/exceptions/{id}/original", "Exception",
        "One exception with its whole source, shown once; who asked and why goes on record.",
        |ask| Box::pin(pages::exception::original(ask)),
    )
    .with(Right::SeeOriginals)
    .taking(&[], pages::REASON),
    Route::get(
        "/crosswalk",
        "/crosswalk", "Mappings",
        "What codes of source systems mean, and what is proposed for them.",
        |ask| Box::pin(pages::crosswalk::list(ask)),
    )
    .taking(pages::crosswalk::QUERY, &[]),
    Route::act("/crosswalk/set", "/crosswalk/set", "MappingChanged", "Says what a code means, or proposes it.", |ask| {
        Box::pin(pages::crosswalk::set(ask))
    })
    .taking(&[], pages::crosswalk::SET),
    Route::act("/crosswalk/withdraw", "/crosswalk/withdraw", "MappingChanged", "Withdraws a mapping, or proposes that.", |ask| {
        Box::pin(pages::crosswalk::withdraw(ask))
    })
    .taking(&[], pages::crosswalk::WITHDRAW),
    Route::act(
        "/crosswalk/approve",
        "/crosswalk/approve", "MappingChanged",
        "Agrees to a change of a mapping, as another person than the one who proposed it.",
        |ask| Box::pin(pages::crosswalk::approve(ask)),
    )
    .with(Right::Approve)
    .taking(&[], pages::crosswalk::APPROVE),
    Route::get(
        "/dead-letters",
        "/dead-letters", "DeadLetters",
        "What could not be read at all and is not settled, newest first.",
        |ask| Box::pin(pages::dead_letters::list(ask)),
    )
    .taking(pages::dead_letters::QUERY, &[]),
    Route::get(
        "/dead-letters/{id}",
        "/dead-letters/{id}", "DeadLetter",
        "One dead letter, without what may identify a patient.",
        |ask| Box::pin(pages::dead_letters::one(ask)),
    ),
    Route::act(
        "/dead-letters/{id}/original",
        "/dead-letters/{id}/original", "DeadLetter",
        "The bytes of a dead letter, shown once; who asked and why goes on record.",
        |ask| Box::pin(pages::dead_letters::original(ask)),
    )
    .with(Right::SeeOriginals)
    .taking(&[], pages::REASON),
    Route::act(
        "/dead-letters/{id}/settle",
        "/dead-letters/{id}/settle", "DeadLetterSettled",
        "Says that a dead letter is settled, and why; who said so goes on record.",
        |ask| Box::pin(pages::dead_letters::settle(ask)),
    )
    .taking(&[], pages::dead_letters::SETTLE),
    Route::get(
        "/messages/{id}",
        "/messages/{id}", "Message",
        "A received message as it came, without what may identify a patient.",
        |ask| Box::pin(pages::messages::one(ask)),
    ),
    Route::act(
        "/messages/{id}/original",
        "/messages/{id}/original", "Message",
        "A received message with all its bytes, shown once; who asked and why goes on record.",
        |ask| Box::pin(pages::messages::original(ask)),
    )
    .with(Right::SeeOriginals)
    .taking(&[], pages::REASON),
    Route::get("/trace", "/trace", "Traced", "The way of one event, from the source to the ERP and the supplier.", |ask| {
        Box::pin(pages::trace::show(ask))
    })
    .taking(pages::trace::QUERY, &[]),
    Route::get("/replay", "/replay", "Replays", "All replays, newest first.", |ask| Box::pin(pages::replay::list(ask)))
        .taking(pages::replay::FILLED, &[]),
    Route::get(
        "/replay/shadow",
        "/replay/shadow", "Comparisons",
        "What the version of this console would decide otherwise: comparisons of this process, and what earlier ones came to.",
        |ask| Box::pin(pages::replay::shadow::list(ask)),
    ),
    Route::get(
        "/replay/shadow/{id}",
        "/replay/shadow/{id}", "Comparison",
        "One comparison of versions: verdicts, fields, events, effects and money that differ.",
        |ask| Box::pin(pages::replay::shadow::one(ask)),
    ),
    Route::act(
        "/replay/shadow/run",
        "/replay/shadow/run", "ComparisonBegun",
        "Has a room of the version of this console decide records again, in the background; nothing is written, nobody is called.",
        |ask| Box::pin(pages::replay::shadow::run(ask)),
    )
    .taking(&[], pages::replay::LOOKED_AT),
    Route::get("/replay/{id}", "/replay/{id}", "ReplayStatus", "How a replay stands.", |ask| Box::pin(pages::replay::one(ask))),
    Route::act("/replay/plan", "/replay/plan", "ReplayPlanned", "Counts what a replay comes to, and puts the plan on record.", |ask| {
        Box::pin(pages::replay::plan(ask))
    })
    .taking(&[], pages::replay::PLAN),
    Route::act("/replay/{id}/approve", "/replay/{id}/approve", "ReplayPlanned", "Agrees to a plan as the second person.", |ask| {
        Box::pin(pages::replay::approve(ask))
    })
    .with(Right::Approve)
    .taking(&[], pages::exception::COMMENT),
    Route::act(
        "/replay/{id}/apply",
        "/replay/{id}/apply", "ReplayBegun",
        "Counts a plan once more and hands its records over, in the process of this console.",
        |ask| Box::pin(pages::replay::apply(ask)),
    )
    .taking(&[], pages::replay::APPLY),
    Route::act(
        "/replay/{id}/resume",
        "/replay/{id}/resume", "ReplayBegun",
        "Goes on with a replay that was paused, or whose process is gone.",
        |ask| Box::pin(pages::replay::resume(ask)),
    )
    .taking(&[], pages::replay::RESUME),
    Route::act("/replay/{id}/pause", "/replay/{id}/pause", "ReplayPlanned", "Stops the process that hands records over.", |ask| {
        Box::pin(pages::replay::pause(ask))
    })
    .taking(&[], pages::exception::COMMENT),
    Route::act("/replay/{id}/abort", "/replay/{id}/abort", "ReplayPlanned", "Gives the rest of a plan up.", |ask| {
        Box::pin(pages::replay::abort(ask))
    })
    .taking(&[], pages::exception::SAY),
    Route::get(
        "/groups",
        "/groups", "Groups",
        "Where the groups of the rooms stand, and the resets that wait for a second person.",
        |ask| Box::pin(pages::groups::list(ask)),
    ),
    Route::get("/groups/{room}", "/groups/{room}", "Group", "Where the group of one room stands, by partition.", |ask| {
        Box::pin(pages::groups::one(ask))
    }),
    Route::act(
        "/groups/{room}/preview",
        "/groups/{room}/preview", "ResetPreview",
        "What it would come to that a room goes on elsewhere; nothing is changed.",
        |ask| Box::pin(pages::groups::preview(ask)),
    )
    .taking(&[], pages::groups::PREVIEW),
    Route::act(
        "/groups/{room}/reset",
        "/groups/{room}/reset", "ResetAnswer",
        "Sets where a room goes on, or asks for it where a second person has to agree.",
        |ask| Box::pin(pages::groups::reset(ask)),
    )
    .taking(&[], pages::groups::RESET),
    Route::act("/groups/approve", "/groups/approve", "ResetAnswer", "Agrees to a reset as the second person.", |ask| {
        Box::pin(pages::groups::approve(ask))
    })
    .with(Right::Approve)
    .taking(&[], pages::groups::APPROVE),
    Route::get(
        "/service-levels",
        "/service-levels", "ServiceLevels",
        "What is kept today of what was promised, and what is at risk.",
        |ask| Box::pin(pages::levels::show(ask)),
    ),
    Route::get(
        "/activity",
        "/activity", "Activity",
        "What each domain did by hour, what waits in it, and what that is worth.",
        |ask| Box::pin(pages::activity::show(ask)),
    ),
    Route::get(
        "/reconciliation",
        "/reconciliation", "Reconciliation",
        "Comparisons that were made, and the differences that are open.",
        |ask| Box::pin(pages::reconciliation::show(ask)),
    ),
    Route::act(
        "/reconciliation/run",
        "/reconciliation/run", "ReconciliationBegun",
        "Compares topics, ERP and suppliers, in the background.",
        |ask| Box::pin(pages::reconciliation::run(ask)),
    )
    .taking(&[], pages::reconciliation::RUN),
    Route::get(
        "/reconciliation/report",
        "/reconciliation/report", "Report",
        "A report as a file: JSON, HTML that prints and is signed, or Markdown.",
        |ask| Box::pin(pages::reconciliation::download(ask)),
    )
    .taking(pages::reconciliation::REPORT, &[])
    .also(&["text/html", "text/markdown"]),
    Route::act("/reconciliation/give-up", "/reconciliation/give-up", "ReconciliationGivenUp", "Ends the comparison that is under way.", |ask| {
        Box::pin(pages::reconciliation::give_up(ask))
    }),
    Route::get("/audit", "/audit", "Audits", "What people did and what Wardline left out, newest first.", |ask| {
        Box::pin(pages::audit::list(ask))
    })
    .taking(pages::audit::QUERY, &[]),
    Route::get("/topics", "/topics", "Topics", "The catalogue: owner, class, patient data, producers and consumers.", |ask| {
        Box::pin(pages::topics::list(ask))
    }),
    Route::get("/topics/{name}", "/topics/{name}", "Topic", "One topic of the catalogue, with its schema.", |ask| {
        Box::pin(pages::topics::one(ask))
    }),
    Route::get("/errors/{code}", "/errors/{code}", "ErrorText", "What an error code means and what to do.", |ask| {
        Box::pin(pages::errors::one(ask))
    }),
    Route::get("/people", "/people", "People", "The users of the configuration, whose sessions can be ended.", |ask| {
        Box::pin(pages::people::list(ask))
    })
    .with(Right::Administer)
    .taking(pages::people::QUERY, &[]),
    Route::act(
        "/people/{name}/end-sessions",
        "/people/{name}/end-sessions", "SessionsEnded",
        "Ends all sessions of somebody, at every replica.",
        |ask| Box::pin(pages::people::end_sessions(ask)),
    )
    .with(Right::Administer)
    .taking(&[], pages::people::END),
    Route {
        page: None,
        ..Route::get("", "/openapi.json", "ApiDocument", "This document.", |ask| Box::pin(crate::openapi::show(ask)))
    }
    .with(Right::Open),
];

/// Pages of the navigation.
pub static NAVIGATION: &[(&str, &str)] = &[
    ("/", "Overview"),
    ("/exceptions", "Exceptions"),
    ("/trace", "Trace"),
    ("/service-levels", "Service levels"),
    ("/activity", "Activity"),
    ("/replay", "Replays"),
    ("/groups", "Groups"),
    ("/reconciliation", "Reconciliation"),
    ("/crosswalk", "Mappings"),
    ("/dead-letters", "Dead letters"),
    ("/audit", "Audit"),
    ("/topics", "Topics"),
];
