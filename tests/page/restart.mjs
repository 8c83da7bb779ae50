// The server crashes and comes back: nothing stale can be pressed meanwhile, and nothing is lost.
import assert from 'node:assert/strict';
import { ID, answer, api, become, button, card, demo, jumpUntil, live, press, scenario, shows, startRollout } from './browser.mjs';

await scenario(async ({ open }) => {
  const page = await open('maria');
  await startRollout(page);
  await jumpUntil(page, 'Acknowledge');
  await become(page, 'ines');
  await press(page, 'Acknowledge');
  await shows(page, '☑ Ines');
  await page.locator('.log li').filter({ hasText: 'Ines acknowledged' }).waitFor();
  await page.locator('#box').fill('am I still here');
  const steps = await card(page).locator('.step').allInnerTexts();
  const log = await page.locator('.log li').allInnerTexts();
  const { sequence } = await api(`/api/rollouts/${ID}`);

  await demo('kill');
  await page.getByText('Reconnecting…').waitFor();
  assert.equal(await button(page, 'Acknowledge').isDisabled(), true);
  assert.equal(await page.getByRole('button', { name: 'Send' }).isDisabled(), true);

  await demo('start');
  await live(page);
  assert.equal(await page.getByText('Reconnecting…').isVisible(), false);
  assert.deepEqual(await card(page).locator('.step').allInnerTexts(), steps);
  assert.deepEqual(await page.locator('.log li').allInnerTexts(), log);
  assert.equal((await api(`/api/rollouts/${ID}`)).sequence, sequence);
  assert.equal(await page.locator('#box').inputValue(), 'am I still here');

  // A request that is lost on the way is sent once more, with the same key.
  const keys = [];
  await page.route('**/press', (route) => {
    keys.push(route.request().headers()['idempotency-key']);
    return keys.length === 1 ? route.abort('connectionreset') : route.continue();
  });
  await become(page, 'tom');
  await press(page, 'Acknowledge');
  await answer(page, 'Thank you, Tom.');
  await shows(page, '☑ Tom');
  assert.equal(keys.length, 2);
  assert.ok(keys[0] && keys[0] === keys[1]);
}, { tolerate: /net::ERR_/ });
