// On a phone everything is one column: no page, form or answer is wider than the screen.
import assert from 'node:assert/strict';
import { ID, ROOM, answer, api, playUntil, press, say, scenario, startRollout } from './browser.mjs';

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
  // The conversation scrolls within its own bounds, and stands at its newest; the page is as short as what there is to do.
  const reaches = () => page.evaluate(() => {
    const box = document.querySelector('#conversation');
    const last = box.lastElementChild.getBoundingClientRect();
    const dock = document.querySelector('.dock').getBoundingClientRect();
    return { height: box.clientHeight, all: box.scrollHeight, left: box.scrollHeight - box.scrollTop - box.clientHeight,
      page: document.documentElement.scrollHeight, last: [last.top, last.bottom], dock: dock.top, text: box.lastElementChild.innerText };
  });
  for (let number = 0; number < 12; number += 1) await api(`/api/rooms/${ROOM}/messages`, { person: 'raj', text: `word ${number}` });
  await page.getByText('word 11').waitFor();
  await say(page, 'seen by all');
  await page.locator('.message.said').filter({ hasText: 'seen by all' }).waitFor();
  await page.waitForFunction(() => { const box = document.querySelector('#conversation'); return box.scrollHeight - box.scrollTop - box.clientHeight < 2; });
  // The box was cleared, the page came to rest.
  await page.waitForFunction(() => document.querySelector('#conversation').lastElementChild.getBoundingClientRect().bottom <= document.querySelector('.dock').getBoundingClientRect().top + 1);
  const there = await reaches();
  assert.ok(there.height <= 760 * 0.66 && there.all > there.height, `${JSON.stringify(there)}`);
  assert.match(there.text, /seen by all/);
  // What one wrote is seen, above the box in which one writes.
  assert.ok(there.last[0] >= 0 && there.last[1] <= there.dock + 1, `${JSON.stringify(there)}`);
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
