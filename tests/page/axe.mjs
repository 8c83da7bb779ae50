// Every page, in light and dark, as axe-core sees it for those who can't see it: it finds nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ID, ROOM, api, jumpUntil, live, playUntil, press, say, scenario, startRollout } from './browser.mjs';

const axe = readFileSync(createRequire(`${process.env.PLAYWRIGHT}/`).resolve('axe-core/axe.min.js'), 'utf8');

async function passes(page, what) {
  await page.evaluate(axe);
  // Every rule that axe-core has for WCAG 2.2 A and AA, and what it calls good practice.
  const { violations, passes: looked } = await page.evaluate(() => axe.run(document));
  assert.ok(looked.length > 20, `axe-core looked at ${what}`);
  const said = violations.map(({ id, impact, help, nodes }) => `${impact} ${id}: ${help}\n  ${nodes.map((node) => node.html).join('\n  ')}`);
  assert.deepEqual(said, [], what);
}

await scenario(async ({ open }) => {
  const first = await open('maria');
  await passes(first, 'an empty room');
  // Something is finished, so that there is a history.
  await api(`/api/rooms/${ROOM}/messages`, { person: 'maria', text: '/rollout start minimal web' });
  for (const rest of ['done told', 'done restarted', 'answer check state=up']) {
    await api(`/api/rooms/${ROOM}/messages`, { person: 'maria', text: `/rollout minimal-web ${rest}` });
  }
  await startRollout(first);
  await jumpUntil(first, 'Acknowledge');
  await playUntil((steps) => steps.find((step) => step.id === 'confirm_window').status === 'open');
  for (const colorScheme of ['light', 'dark']) {
    const page = await open('maria', { colorScheme });
    await passes(page, `the room, ${colorScheme}`);
    await press(page, 'Answer: Confirm the maintenance window');
    await page.getByRole('dialog').waitFor();
    await passes(page, `a form, ${colorScheme}`);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await say(page, '/rollout ack');
    await page.locator('.note').first().waitFor();
    await passes(page, `an answer, ${colorScheme}`);
    for (const path of [`/rollouts/${ID}`, '/rollouts', '/history', '/wall', `/rollouts/${ID}/wall`, '/rooms/slack-andromeda-preproduction-watch', '/nowhere']) {
      await page.goto(new URL(`${path}?as=maria`, page.url()).href);
      await live(page);
      await passes(page, `${path}, ${colorScheme}`);
    }
    // What is seen before it is read: on hold, overdue, several at once, no connection.
    const own = await open('maria', { colorScheme, path: `/rollouts/${ID}/wall`, width: 1920, height: 1080 });
    await api(`/api/rooms/${ROOM}/messages`, { person: 'maria', text: `/rollout ${ID} hold` });
    await own.getByText('ON HOLD by Maria').waitFor();
    await passes(own, `a wall on hold, ${colorScheme}`);
    await api(`/api/rooms/${ROOM}/messages`, { person: 'maria', text: `/rollout ${ID} resume` });
    const other = await api(`/api/rooms/${ROOM}/messages`, { person: 'maria', text: `/rollout start minimal ${colorScheme}` });
    await own.goto(new URL('/wall', page.url()).href);
    await own.locator('.tile').nth(1).waitFor();
    await passes(own, `two on the wall, ${colorScheme}`);
    await api(`/api/rooms/${ROOM}/messages`, { person: 'maria', text: `/rollout ${other.rollout} abort enough` });
    await own.close();
    await page.setViewportSize({ width: 380, height: 760 });
    await page.goto(new URL(`/rooms/${ROOM}?as=maria`, page.url()).href);
    await live(page);
    await passes(page, `the room on a phone, ${colorScheme}`);
  }
}, { tolerate: /404/ });
