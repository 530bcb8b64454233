"""Fills a fresh Tryton database with the hospital of hospital.json.

usage: setup_data.py CONFIG DATABASE HOSPITAL_JSON REST_KEY

Everything is created in the order of the file and one record at a time, so that
every build of the database gives the same record ids.
"""
import datetime as dt
import json
import sys
from decimal import Decimal

from proteus import Model
from proteus import config as proteus_config

CONFIG, DATABASE, HOSPITAL, REST_KEY = sys.argv[1:5]
proteus_config.set_trytond(database=DATABASE, user='admin', config_file=CONFIG)

from trytond.modules.account.tests.tools import (  # noqa: E402
    create_chart, create_fiscalyear, get_accounts)
from trytond.modules.account_invoice.tests.tools import (  # noqa: E402
    create_payment_term, set_fiscalyear_invoice_sequences)
from trytond.modules.account_stock_continental.tests.tools import (  # noqa: E402
    add_stock_accounts)
from trytond.modules.company.tests.tools import (  # noqa: E402
    create_company, get_company)
from trytond.modules.currency.tests.tools import get_currency  # noqa: E402

TODAY = dt.date.today()
# The location types between which a move of a lot-tracked item must name its lot.
LOT_REQUIRED = ['storage', 'lost_found', 'customer', 'supplier']


def new(model, **values):
    record = Model.get(model)(**values)
    record.save()
    return record


def one(model, **values):
    record, = Model.get(model).find([(k, '=', v) for k, v in values.items()])
    return record


def say(text):
    print(text, flush=True)


def company(hospital):
    create_company(new('party.party', name=hospital['company']), get_currency(hospital['currency']))
    return get_company()


def books(term_name):
    """The chart, the fiscal years around today and the accounts of the stock moves."""
    create_chart()
    accounts = add_stock_accounts(get_accounts())
    for year in (TODAY.year - 1, TODAY.year, TODAY.year + 1):
        fiscal_year = create_fiscalyear(today=(dt.date(year, 1, 1), dt.date(year, 12, 31)))
        fiscal_year.start_date, fiscal_year.end_date = dt.date(year, 1, 1), dt.date(year, 12, 31)
        fiscal_year = set_fiscalyear_invoice_sequences(fiscal_year)
        fiscal_year.account_stock_method = 'continental'
        fiscal_year.click('create_period')
    accounts['consumption'], = accounts['stock_expense'].duplicate(
        default={'code': '5.1.5.1', 'name': 'Material consumption'})
    accounts['allocated'], = accounts['stock_expense'].duplicate(
        default={'code': '5.1.5.9', 'name': 'Material consumption allocated to departments'})
    new('account.journal', name='Department allocation', code='ALLOC', type='general')
    term = create_payment_term()
    term.name = term_name
    term.save()
    return accounts, term


def cost_centers(hospital):
    root = new('analytic_account.account', type='root', name='Cost centres', code='CC')
    centers = {}
    for center in hospital['cost_centers']:
        departments = [l['code'] for l in hospital['locations'] if l['cost_center'] == center['code']]
        centers[center['code']] = new(
            'analytic_account.account', root=root, parent=root, name=center['name'], code=center['code'],
            note='Departments: ' + ', '.join(departments))
    return centers


def locations(hospital, centers):
    """Per department: a stock location, where it is consumed to, and who pays.

    The last is a party for the department and an analytic rule that names party and cost
    centre. The rule has no account, and no account here asks for a party, so it is a
    mapping to read and never fires by itself.
    """
    warehouse = one('stock.location', code='WH')
    warehouse.name = 'Hospital warehouse'
    warehouse.save()
    storage = one('stock.location', code='STO')
    result = {}
    for place in hospital['locations']:
        result[place['code']] = new(
            'stock.location', name=place['name'], code=place['code'], type='storage', parent=storage)
        new('stock.location', name='Patient use ' + place['name'], code=place['use'], type='lost_found')
        department = new('party.party', name='Department ' + place['name'], code=place['code'])
        rule = Model.get('analytic_account.rule')(party=department)
        entry, = rule.analytic_accounts
        entry.account = centers[place['cost_center']]
        rule.save()
    return warehouse, result


def suppliers(hospital, term):
    return {s['code']: new('party.party', name=s['name'], code=s['code'], supplier_payment_term=term)
            for s in hospital['suppliers']}


def units(hospital):
    unit, = Model.get('product.uom').find([('symbol', '=', 'u')])
    result = {'u': unit}
    for pack in hospital['units']:
        result[pack['symbol']] = new(
            'product.uom', name=pack['name'], symbol=pack['symbol'], category=unit.category,
            factor=float(pack['quantity']), rate=round(1 / pack['quantity'], 12), rounding=1.0, digits=0)
    return result


def categories(hospital, accounts):
    accounting = Model.get('product.category')(
        name='Medical', accounting=True, account_expense=accounts['expense'],
        account_revenue=accounts['revenue'], account_stock=accounts['stock'],
        account_stock_in=accounts['stock_expense'])
    accounting.account_stock_out = accounts['consumption']
    accounting.save()
    names = sorted({name for item in hospital['items'] for name in item['categories']})
    return accounting, {name: new('product.category', name=name) for name in names}


def template(item, uoms, accounting, groups):
    record = Model.get('product.template')(
        name=item['name'], code=item['code'], default_uom=uoms['u'], type='goods', purchasable=True,
        list_price=Decimal(item['cost']) * 2, account_category=accounting, cost_price_method='average')
    if item.get('pack'):
        record.purchase_uom = uoms[item['pack']['unit']]
    for name in item['categories']:
        record.categories.append(Model.get('product.category')(groups[name].id))
    if item['lots']:
        record.lot_required = LOT_REQUIRED
        record.shelf_life_state = 'none'
        record.expiration_state = 'optional'
    product, = record.products
    product.cost_price = Decimal(item['cost'])
    codes = [('ean', item['gtin'])]
    if item.get('pack'):
        codes.append(('ean', item['pack']['gtin']))
    if item.get('hibc'):
        codes.append((None, item['hibc']))
    codes.append(('mpn', item['mpn']))
    for kind, code in codes:
        identifier = product.identifiers.new()
        identifier.type, identifier.code = kind, code
    record.save()
    return record


def items(hospital, uoms, accounting, groups, vendors, currency):
    """The items, each with its identifiers, its supplier and its price there."""
    products, lots = {}, {}
    for item in hospital['items']:
        record = template(item, uoms, accounting, groups)
        product, = record.products
        products[item['code']] = product
        source = Model.get('purchase.product_supplier')(
            template=record, party=vendors[item['supplier']], code=item['supplier_code'],
            lead_time=dt.timedelta(days=2), currency=currency)
        price = source.prices.new()
        price.quantity = 0
        price.unit_price = Decimal(item['cost']) * (item['pack']['quantity'] if item.get('pack') else 1)
        source.save()
        for lot in item['lots']:
            lots[lot['number']] = new(
                'stock.lot', number=lot['number'], product=product,
                expiration_date=dt.date.fromisoformat(lot['expires']))
        if not item['active']:
            record.active = False
            record.save()
    return products, lots


def opening_stock(hospital, places, products, lots):
    for place in places.values():
        inventory = Model.get('stock.inventory')(location=place, empty_quantity='keep')
        for item in hospital['items']:
            if not item['active']:
                continue
            for number in [lot['number'] for lot in item['lots']] or [None]:
                line = inventory.lines.new()
                line.product = products[item['code']]
                if number:
                    line.lot = lots[number]
                line.quantity = float(hospital['opening_stock']['with_lot' if number else 'without_lot'])
        inventory.save()
        inventory.click('confirm')
        say('opening stock ' + place.code)


def order_points(hospital, warehouse, products):
    for item in hospital['items']:
        if item['active'] and not item['lots']:
            new('stock.order_point', type='purchase', product=products[item['code']], location=warehouse,
                min_quantity=1000.0, target_quantity=10000.0)


def employees(hospital, employer):
    result = {}
    for person in hospital['employees']:
        party = new('party.party', name=person['name'], code=person['code'])
        result[person['code']] = new(
            'company.employee', party=party, company=employer, start_date=dt.date(TODAY.year - 1, 1, 1))
    return result


def purchase_orders(hospital, warehouse, vendors, products, term):
    for order in hospital['purchase_orders']:
        purchase = Model.get('purchase.purchase')(
            party=vendors[order['supplier']], reference=order['reference'], payment_term=term,
            warehouse=warehouse, purchase_date=TODAY)
        for wanted in order['lines']:
            line = purchase.lines.new()
            line.product = products[wanted['item']]
            line.quantity = float(wanted['quantity'])
        purchase.save()
        purchase.click('quote')
        if order['state'] == 'quotation':
            continue
        purchase.click('confirm')
        if purchase.state == 'confirmed':
            purchase.click('process')
        if order['state'] == 'received':
            shipment = Model.get('stock.shipment.in')(
                supplier=vendors[order['supplier']], reference='DN-' + order['reference'][4:], warehouse=warehouse)
            for move in purchase.moves:
                shipment.incoming_moves.append(Model.get('stock.move')(move.id))
            shipment.save()
            shipment.click('receive')
            shipment.click('do')


def integration_user(employer, employee):
    """The login behind the REST key, with every group: what it may do is not under test."""
    user = Model.get('res.user')(name='Wardline', login='wardline')
    for group in Model.get('res.group').find([]):
        user.groups.append(Model.get('res.group')(group.id))
    user.companies.append(employer)
    user.company = employer
    user.employees.append(employee)
    user.employee = employee
    user.save()
    new('res.user.application', user=user, application='rest', key=REST_KEY, state='validated')


def main():
    with open(HOSPITAL, encoding='utf-8') as file:
        hospital = json.load(file)
    employer = company(hospital)
    accounts, term = books('Direct')
    say('company and books')
    centers = cost_centers(hospital)
    warehouse, places = locations(hospital, centers)
    vendors = suppliers(hospital, term)
    uoms = units(hospital)
    accounting, groups = categories(hospital, accounts)
    products, lots = items(hospital, uoms, accounting, groups, vendors, get_currency(hospital['currency']))
    say('items')
    opening_stock(hospital, places, products, lots)
    order_points(hospital, warehouse, products)
    staff = employees(hospital, employer)
    integration_user(employer, staff['E002'])
    purchase_orders(hospital, warehouse, vendors, products, term)
    say('done')


if __name__ == '__main__':
    main()
