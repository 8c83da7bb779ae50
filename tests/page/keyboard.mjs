// No mouse: what is pressed keeps the focus near, dialogs take and give it back, answers are announced.
import assert from 'node:assert/strict';
import { answer, button, jumpUntil, playUntil, scenario, shows, startRollout } from './browser.mjs';

await scenario(async ({ open }) => {
  const page = await open('maria');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  await startRollout(page);
  assert.equal(await page.locator('#answers').getAttribute('role'), 'status');
  await jumpUntil(page, 'Acknowledge');
  await playUntil((steps) => steps.find((step) => step.id === 'go_call').status === 'open');

  // The pressed button goes away; the focus stays at the card.
  await button(page, 'Done: Confirm Go Call').focus();
  await page.keyboard.press('Enter');
  await answer(page, 'Done:');
  await button(page, 'Done: Confirm Go Call').waitFor({ state: 'hidden' });
  await page.waitForFunction(() => document.activeElement.closest('.card'));

  await button(page, 'Hold').focus();
  await page.keyboard.press('Enter');
  await shows(page, /On hold by Maria/);

  await button(page, 'Abort').focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.closest('dialog'));
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => !document.querySelector('dialog[open]') && document.activeElement.textContent === 'Abort');

  await button(page, 'Abort').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.type('the backup system is down');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await answer(page, 'the backup system is down');
  await shows(page, /ABORTED/);
});
