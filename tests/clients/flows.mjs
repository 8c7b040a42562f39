// What Stripe's SDK for Node does to the local Stripe: `node flows.mjs ADDRESS KEY`, with the SDK installed.
import Stripe from 'stripe';

const [address, key] = process.argv.slice(2);
const {hostname, port} = new URL(address);
const stripe = new Stripe(key, {host: hostname, port, protocol: 'http', maxNetworkRetries: 0, telemetry: false});

const same = (found, wanted) => {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    throw new Error(`${JSON.stringify(found)} in place of ${JSON.stringify(wanted)}`);
  }
};

const flows = {
  async 'a customer subscribes and pays'() {
    const customer = await stripe.customers.create({
      payment_method: 'pm_card_visa',
      invoice_settings: {default_payment_method: 'pm_card_visa'},
    });
    const price = await stripe.prices.create({
      currency: 'eur', unit_amount: 900, recurring: {interval: 'month'}, product_data: {name: 'Tea'},
    });
    const made = await stripe.subscriptions.create({customer: customer.id, items: [{price: price.id}]});
    same(made.status, 'active');
    const invoice = await stripe.invoices.retrieve(made.latest_invoice, {expand: ['payments']});
    same([invoice.status, invoice.amount_paid, invoice.payments.data[0].status], ['paid', 900, 'paid']);
  },
  async 'a declined card is an error'() {
    const asked = {amount: 700, currency: 'usd', confirm: true, payment_method: 'pm_card_chargeDeclined'};
    const error = await stripe.paymentIntents.create(asked).catch((caught) => caught);
    same([error.type, error.code], ['StripeCardError', 'card_declined']);
  },
  async 'the same idempotency key gives the same object'() {
    const options = {idempotencyKey: 'from-node'};
    const [one, two] = [await stripe.products.create({name: 'A'}, options), await stripe.products.create({name: 'A'}, options)];
    same(one.id, two.id);
  },
  async 'a test clock renews a subscription'() {
    const clock = await stripe.testHelpers.testClocks.create({frozen_time: 1700000000});
    const customer = await stripe.customers.create({
      test_clock: clock.id, payment_method: 'pm_card_visa', invoice_settings: {default_payment_method: 'pm_card_visa'},
    });
    const price = await stripe.prices.create({
      currency: 'jpy', unit_amount: 1200, recurring: {interval: 'week'}, product_data: {name: 'Matcha'},
    });
    const made = await stripe.subscriptions.create({customer: customer.id, items: [{price: price.id}]});
    await stripe.testHelpers.testClocks.advance(clock.id, {frozen_time: 1700000000 + 22 * 86400});
    const invoices = await stripe.invoices.list({subscription: made.id}).autoPagingToArray({limit: 100});
    same(invoices.map((each) => each.status), ['paid', 'paid', 'paid', 'paid']);
  },
  async 'events are paged to their end'() {
    const events = await stripe.events.list({limit: 50}).autoPagingToArray({limit: 10000});
    same(new Set(events.map((each) => each.id)).size, events.length);
  },
};

for (const [name, flow] of Object.entries(flows)) {
  const wrong = await flow().then(() => '', (error) => String(error.message ?? error));
  console.log(JSON.stringify({kind: 'flow', name, wrong}));
}
