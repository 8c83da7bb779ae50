// A roster of a hundred and fifty and a hundred and twenty steps: whoever looks finds their own first, nothing scrolls sideways, and
// everybody's name is there on demand.
import assert from 'node:assert/strict';
import { answer, api, card, press, say, scenario, shows } from './browser.mjs';

const PEOPLE = 150;
const id = (number) => `p${String(number).padStart(3, '0')}`;

await scenario(async ({ open }) => {
  const fits = async (page, what) => {
    const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= screen, `${what} is ${wide} wide on a screen of ${screen}`);
  };
  const path = '/rooms/large';
  const page = await open(id(0), { path });
  await say(page, '/rollout start large');
  await shows(page, `everybody (0 of ${PEOPLE})`);
  assert.ok((await page.locator('#checklist').innerText()).length < 2000, 'the checklist does not name all of them');
  await press(page, 'Show all');
  await answer(page, 'Person 149');
  for (let number = 0; number < PEOPLE; number += 1) {
    await api('/api/rooms/large/messages', { person: id(number), text: '/rollout ack' });
  }
  // The tenth of twelve steps that are open at once is theirs.
  const theirs = await open(id(10), { path });
  await card(theirs).locator('.step').first().getByText('waits for you').waitFor();
  await fits(theirs, 'the room');
  await press(theirs, 'Done: Check node 10');
  await answer(theirs, 'Done:');
  const phone = await open(id(11), { path, width: 380, height: 760 });
  await card(phone).locator('.step').first().getByText('waits for you').waitFor();
  await fits(phone, 'the room on a phone');
  const [rollout] = await api('/api/rollouts');
  for (const width of [380, 1280]) {
    const full = await open(id(0), { path: `/rollouts/${rollout.id}`, width });
    await full.getByText('Check node 120').first().waitFor();
    await fits(full, `the rollout at ${width}`);
  }
});
