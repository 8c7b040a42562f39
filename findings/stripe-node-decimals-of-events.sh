#!/bin/sh
# stripe (npm) 23.1.0: a price inside an event has a text where its type promises a Decimal.
#
# The SDK makes an object of its class Decimal of a text such as a price's "unit_amount_decimal". It does so in a price
# and in lists of prices. It does not in an event, be it of a webhook or of the list of events, nor in a price that is
# expanded in a product. The declared type is Decimal in each of these places. TypeScript compiles a program that fails
# at the first event: a text has no method add.
#
# Output seen, on Node.js 20 with TypeScript 5.9.3, for "10.5" and one more:
#   tsc --strict: no error
#   retrieve:     Decimal, 11.5
#   list:         Decimal, 11.5
#   webhook:      string, amount.add is not a function
#   events.list:  string, amount.add is not a function
#   expanded:     string, amount.add is not a function
#
# Needs node, npm and its registry. Fails if the SDK answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" \
    stripe@23.1.0 typescript@5.9.3 @types/node@20.19.0 > "$folder/log" 2>&1
cat > "$folder/add.mts" <<'NODE'
import assert from 'node:assert';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import Stripe from 'stripe';

const price = { id: 'price_1', object: 'price', unit_amount_decimal: '10.5' };
const sent = { id: 'evt_1', object: 'event', type: 'price.updated', data: { object: price } };
const listed = (object: object) => ({ object: 'list', has_more: false, data: [object] });
const answers: Record<string, object> = {
  '/v1/prices/price_1': price,
  '/v1/prices': listed(price),
  '/v1/events': listed(sent),
  '/v1/products/prod_1': { id: 'prod_1', object: 'product', default_price: price },
};
const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(answers[request.url!.split('?')[0]]));
});
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
const { port } = server.address() as AddressInfo;
const stripe = new Stripe('sk_test_123', { host: '127.0.0.1', port, protocol: 'http', telemetry: false });

function added(amount: Stripe.Decimal): string {
  const kind = typeof amount === 'string' ? 'string' : 'Decimal';
  try {
    return `${kind}, ${amount.add(Stripe.Decimal.from(1))}`;
  } catch (error) {
    return `${kind}, ${(error as Error).message}`;
  }
}

function ofEvent(event: Stripe.Event): string {
  assert(event.type === 'price.updated');
  return added(event.data.object.unit_amount_decimal!);
}

const payload = JSON.stringify(sent);
const secret = 'whsec_test';
const header = stripe.webhooks.generateTestHeaderString({ payload, secret });
const product = await stripe.products.retrieve('prod_1', { expand: ['default_price'] });
const seen = {
  retrieve: added((await stripe.prices.retrieve('price_1')).unit_amount_decimal!),
  list: added((await stripe.prices.list()).data[0].unit_amount_decimal!),
  webhook: ofEvent(stripe.webhooks.constructEvent(payload, header, secret)),
  'events.list': ofEvent((await stripe.events.list()).data[0]),
  expanded: added((product.default_price as Stripe.Price).unit_amount_decimal!),
};
for (const [where, what] of Object.entries(seen)) {
  console.log(`${where}:`.padEnd(13), what);
}
const failed = 'string, amount.add is not a function';
assert.deepEqual(seen, {
  retrieve: 'Decimal, 11.5',
  list: 'Decimal, 11.5',
  webhook: failed,
  'events.list': failed,
  expanded: failed,
});
server.close();
NODE
node_modules/.bin/tsc --strict --target es2022 --module nodenext --types node "$folder/add.mts"
echo 'tsc --strict: no error'
node "$folder/add.mjs"
