// On a phone everything is one column: no page, form or answer is wider than the screen.
import assert from 'node:assert/strict';
import { ID, ROOM, answer, playUntil, press, say, scenario, startRollout } from './browser.mjs';

await scenario(async ({ open }) => {
  const fits = async (page, what) => {
    const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= screen, `${what} is ${wide} wide on a screen of ${screen}`);
  };
  const page = await open('maria', { width: 380, height: 760, colorScheme: 'dark' });
  await fits(page, 'an empty room');
  await startRollout(page);
  await playUntil((steps) => steps.find((step) => step.id === 'cutover').status === 'open');
  await page.getByText('Are we GO').first().waitFor();
  await fits(page, 'the go/no-go');
  await press(page, 'Abort');
  await page.getByRole('dialog').getByLabel('Reason').waitFor();
  await fits(page, 'a dialog');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await say(page, '/rollout help');
  await answer(page, 'start');
  await fits(page, 'an answer');
  for (const path of [`/rollouts/${ID}`, '/rollouts', '/rooms/slack-andromeda-preproduction-watch']) {
    const other = await open('maria', { width: 380, height: 760, path });
    await other.getByRole('heading', { level: 1 }).waitFor();
    await fits(other, path);
  }
  assert.match(page.url(), new RegExp(ROOM));
});
