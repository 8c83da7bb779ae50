// Maria starts a rollout by typing; Ines acknowledges; everybody sees the tick.
import assert from 'node:assert/strict';
import { answer, become, card, press, say, scenario, shows, startRollout, button } from './browser.mjs';

await scenario(async ({ open }) => {
  const page = await open('maria');
  await page.getByText('No rollout here yet').waitFor();

  await say(page, '/rollout strat 4.3');
  await answer(page, 'Did you mean start?', '.refused');
  const box = page.locator('#box');
  assert.equal(await box.getAttribute('placeholder'), '/rollout start 4.3');
  await startRollout(page);
  await answer(page, 'Started', '.done');
  assert.equal(await page.locator('#answers .note').count(), 1, 'only the latest answer takes room');
  assert.equal(await box.getAttribute('placeholder'), '/rollout status, or a word to the others');
  assert.equal(await page.locator('#box').inputValue(), '', 'what was sent is not left in the box');

  await page.getByRole('button', { name: 'Jump to next' }).click();
  await button(page, 'Acknowledge').waitFor();
  await become(page, 'ines');
  await shows(page, 'waits for you');
  await shows(page, '☐ Ines');
  await press(page, 'Acknowledge');
  await answer(page, 'Thank you, Ines.', '.done');
  await shows(page, '☑ Ines');
  await page.locator('.log li').filter({ hasText: 'Ines acknowledged (1 of 5)' }).waitFor();
  assert.equal(await card(page).getByText('waits for you').count(), 0);

  // A form that lacks something opens by itself and says what is wrong where it is wrong.
  await become(page, 'maria');
  await say(page, '/rollout start abc');
  const version = page.getByRole('dialog').getByLabel('Changeset version');
  await page.getByRole('dialog').locator('.wrong').filter({ hasText: 'is not a Changeset version' }).waitFor();
  assert.equal(await version.getAttribute('aria-invalid'), 'true');
  await page.getByRole('button', { name: 'Cancel' }).click();

  // What people write is text, also in the record, whatever it looks like.
  const nasty = '<img src=x onerror=alert(1)> **[a](javascript:alert(1))**';
  await say(page, nasty);
  await page.locator('.message.said').filter({ hasText: nasty }).waitFor();
  await say(page, `/rollout note ${nasty}`);
  await page.locator('.log li').filter({ hasText: nasty }).waitFor();
  assert.equal(await page.locator('img, a[href^="javascript"]').count(), 0);

  // The next window remembers who one was.
  await page.goto(page.url().split('?')[0]);
  assert.equal(await page.getByLabel('You are').inputValue(), 'maria');
});
