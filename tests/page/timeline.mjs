// The timeline on the page: nothing covers anything, in any width and in both colours, and it is as live as the rest.
import assert from 'node:assert/strict';
import { DEMO, ID, ROOM, api, playUntil, scenario } from './browser.mjs';

const LETTERS_MIN_PX = 8.5; // below, nobody reads them
const say = (person, text) => api(`/api/rooms/${ROOM}/messages`, { person, text });
const step = (steps, id) => steps.find((one) => one.id === id);

// The picture that is shown, as the browser drew it: with its own fonts, not with what was reckoned.
async function look(page) {
  return page.evaluate(() => {
    const shown = [...document.querySelectorAll('svg.timeline')].filter((svg) => svg.getBoundingClientRect().width > 0);
    const [svg] = shown;
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map((node) => {
      const box = node.getBoundingClientRect();
      // Letters are less high than the line they stand on.
      const inset = node.hasAttribute('transform') ? { x: box.width * 0.2, y: 0 } : { x: 0, y: box.height * 0.2 };
      const size = Number(node.getAttribute('font-size')) * svg.getScreenCTM().a;
      return { text: node.lastChild?.data ?? '', size, left: box.left + inset.x, right: box.right - inset.x, top: box.top + inset.y, bottom: box.bottom - inset.y };
    });
    const over = [];
    for (const [place, a] of texts.entries()) {
      for (const b of texts.slice(place + 1)) {
        if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) over.push(`${a.text} over ${b.text}`);
      }
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1) over.push(`${a.text} leaves the picture`);
    }
    const ink = getComputedStyle(svg.querySelector('.tl-name')).fill;
    return { count: shown.length, name: svg.getAttribute('class'), over, smallest: Math.min(...texts.map((one) => one.size)), ink,
      role: svg.getAttribute('role'), label: svg.querySelector('title').textContent, says: svg.querySelector('desc').textContent,
      wide: document.documentElement.scrollWidth, screen: innerWidth };
  });
}

await scenario(async ({ open }) => {
  await say('maria', '/rollout start 4.3');
  const page = await open('maria', { path: `/rollouts/${ID}` });
  await page.evaluate(() => { window.notReloaded = true; });
  const early = await look(page);
  assert.deepEqual([early.count, early.over], [1, []]);
  assert.match(early.says, /Pre-Flight: opens/);

  // People take their time: acknowledgements over a day, a long run, a step reopened, a hold.
  await playUntil((steps) => step(steps, 'aware').status === 'open');
  for (const [person, by] of [['ines', '2h'], ['tom', '9h'], ['ana', '40m']]) {
    await api('/api/clock/advance', { by });
    await say(person, '/rollout ack');
  }
  await page.locator('svg.timeline.wide .tl-open').first().waitFor();
  assert.equal(await page.evaluate(() => window.notReloaded), true, 'it is live');
  await playUntil((steps) => step(steps, 'go_call').status === 'done');
  const nasty = '<img src=x onerror=alert(1)> "\'&';
  await say('maria', `/rollout reopen go_call ${nasty}`);
  await playUntil((steps) => step(steps, 'update_containers').status === 'running');
  await api('/api/clock/advance', { by: '14m' });
  await say('maria', '/rollout hold');
  await api('/api/clock/advance', { by: '9m' });
  await say('maria', '/rollout resume');
  await playUntil((steps) => Object.keys(step(steps, 'cutover').votes).length === 2);
  await page.locator('svg.timeline.wide .tl-hold').first().waitFor();
  await page.locator('svg.timeline.wide .tl-over').first().waitFor();

  const inks = new Set();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const [width, name] of [[1280, 'wide'], [1000, 'wide'], [760, 'narrow'], [380, 'narrow']]) {
      await page.setViewportSize({ width, height: 900 });
      const seen = await look(page);
      assert.deepEqual([seen.count, seen.over], [1, []], `${width} ${colorScheme}`);
      assert.equal(seen.name, `timeline ${name}`, `${width}`);
      assert.ok(seen.smallest >= LETTERS_MIN_PX, `letters of ${seen.smallest} px at ${width}`);
      assert.ok(seen.wide <= seen.screen, `${seen.wide} wide on ${seen.screen}`);
      inks.add(seen.ink);
    }
  }
  assert.equal(inks.size, 2, 'light and dark have inks of their own');

  // For who does not see it there are words; what people write is one of them.
  const seen = await look(page);
  assert.deepEqual([seen.role, seen.label], ['img', `Timeline of ${ID}`]);
  assert.ok(seen.says.includes(`Reopened: ${nasty}`) && /Update IaC Staging Stack.*: 14m.*expected 12m/.test(seen.says), seen.says);
  assert.equal(await page.locator('img').count(), 0);

  await page.setViewportSize({ width: 1280, height: 900 });
  for (const [name, type] of [['PNG', 'image/png'], ['SVG', 'image/svg+xml']]) {
    const response = await fetch(DEMO + await page.getByRole('link', { name, exact: true }).getAttribute('href'));
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, type]);
    assert.ok((await response.arrayBuffer()).byteLength > 10_000);
  }
  const nowhere = await fetch(`${DEMO}/api/rollouts/nothing/timeline.png`);
  assert.deepEqual([nowhere.status, nowhere.headers.get('content-type')], [404, 'application/problem+json']);
});
