#!/bin/sh
# @supabase/stripe-sync-engine (npm) 0.48.5: of two events of one second, the second changes nothing.
#
# Stripe dates events in whole seconds. A payment intent that is confirmed when it is made can have its events "created"
# and "succeeded" in one second. The engine changes a row only if an event is dated later than the last one. It drops
# the second of the two without an error, and the payment stays unpaid in the table until a later event or a backfill.
# All tables are written so. The option revalidateObjectsViaStripeApi, which is off by default, reads objects again.
#
# Output seen, with Stripe's signed posts in the order of the events:
#   created at 1780000000, succeeded at 1780000000: requires_confirmation
#   created at 1780000000, succeeded at 1780000001: succeeded
#
# Runs the engine's own migrations in PGlite, a Postgres in the process. Needs node, npm and its registry.
# Fails if the engine answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" \
    @supabase/stripe-sync-engine@0.48.5 stripe@23.1.0 @electric-sql/pglite@0.5.17 > "$folder/log" 2>&1
cat > "$folder/sync.mjs" <<'NODE'
import assert from 'node:assert';
import fs from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import { StripeSync } from '@supabase/stripe-sync-engine';
import Stripe from 'stripe';

const MIGRATIONS = 'node_modules/@supabase/stripe-sync-engine/dist/migrations';
const SECRET = 'whsec_test';
const stripe = new Stripe('sk_test_123');

async function synced(events) {
  const database = new PGlite();
  await database.exec('CREATE SCHEMA stripe');
  for (const name of fs.readdirSync(MIGRATIONS).sort()) {
    await database.exec(fs.readFileSync(`${MIGRATIONS}/${name}`, 'utf8'));
  }
  const sync = new StripeSync({ stripeSecretKey: 'sk_test_123', stripeWebhookSecret: SECRET });
  sync.postgresClient.pool = database;
  for (const { name, created, status } of events) {
    const object = { id: 'pi_1', object: 'payment_intent', amount: 500, created: 1780000000, status };
    const event = { id: `evt_${name}`, object: 'event', type: `payment_intent.${name}`, created, data: { object } };
    const payload = JSON.stringify(event);
    await sync.processWebhook(payload, stripe.webhooks.generateTestHeaderString({ payload, secret: SECRET }));
  }
  const { rows } = await database.query('SELECT status FROM stripe.payment_intents');
  await database.close();
  return rows.map(({ status }) => status);
}

const seen = [];
for (const created of [1780000000, 1780000001]) {
  const statuses = await synced([
    { name: 'created', created: 1780000000, status: 'requires_confirmation' },
    { name: 'succeeded', created, status: 'succeeded' },
  ]);
  console.log(`created at 1780000000, succeeded at ${created}: ${statuses}`);
  seen.push(...statuses);
}
assert.deepEqual(seen, ['requires_confirmation', 'succeeded']);
NODE
node "$folder/sync.mjs"
