// Every page, in light and dark, as axe-core sees it for those who can't see it: it finds nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ID, ROOM, jumpUntil, live, playUntil, press, say, scenario, startRollout } from './browser.mjs';

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
    for (const path of [`/rollouts/${ID}`, '/rollouts', '/rooms/slack-andromeda-preproduction-watch', '/nowhere']) {
      await page.goto(new URL(`${path}?as=maria`, page.url()).href);
      await live(page);
      await passes(page, `${path}, ${colorScheme}`);
    }
    await page.setViewportSize({ width: 380, height: 760 });
    await page.goto(new URL(`/rooms/${ROOM}?as=maria`, page.url()).href);
    await live(page);
    await passes(page, `the room on a phone, ${colorScheme}`);
  }
}, { tolerate: /404/ });
