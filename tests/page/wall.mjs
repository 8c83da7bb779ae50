// The wall: what is seen from five metres, counted by the server's clock, and never old without saying so.
import assert from 'node:assert/strict';
import { ID, ROOM, api, demo, live, playUntil, scenario } from './browser.mjs';

const say = (person, text) => api(`/api/rooms/${ROOM}/messages`, { person, text });
const WALL = { width: 1920, height: 1080, path: '/wall' };

// Seconds to T-0 as the wall counts them; negative after it.
async function counted(page) {
  const text = await page.locator('#wall .count').innerText();
  const [, sign, days, hours, minutes, seconds] = text.match(/^T([−+])(?:(\d+)d )?(\d\d):(\d\d):(\d\d)$/u);
  return (sign === '−' ? 1 : -1) * (Number(days ?? 0) * 86400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
}

async function truly(page) {
  const view = await api(`/api/rollouts/${ID}`);
  return { counted: await counted(page), true: (Date.parse(view.window_starts) - Date.parse(view.now)) / 1000 };
}

// Nobody scrolls a wall, and what is cut off is not seen.
async function isInSight(page, what) {
  const found = await page.evaluate(() => {
    const cut = [...document.querySelectorAll('.steps article, .alarms, footer, .count, .time > p')].filter((node) => {
      const [own, around] = [node.getBoundingClientRect(), (node.closest('.steps, .time') ?? document.body).getBoundingClientRect()];
      return own.bottom > Math.min(around.bottom, innerHeight) + 1 || own.right > innerWidth + 1 || node.scrollWidth > node.clientWidth + 2;
    });
    return { wide: document.documentElement.scrollWidth, high: document.documentElement.scrollHeight, cut: cut.map((node) => node.className || node.innerText) };
  });
  const { width, height } = page.viewportSize();
  assert.ok(found.wide <= width, `${what} is ${found.wide} wide on ${width}`);
  if (width > height) assert.deepEqual([found.high, found.cut], [height, []], what);
}

await scenario(async ({ open }) => {
  const wall = await open('maria', WALL);
  await wall.getByRole('heading', { name: 'Nothing is open' }).waitFor();
  await wall.evaluate(() => { window.notReloaded = true; });

  await say('maria', '/rollout start 4.3');
  await wall.getByRole('heading', { name: 'Promote Changeset v4.3 To Staging' }).waitFor();
  await wall.getByText('Next by itself').waitFor();
  assert.equal(await wall.evaluate(() => window.notReloaded), true, 'it came by itself');
  const first = await counted(wall);
  await wall.waitForFunction((before) => document.querySelector('#wall .count').textContent !== before, await wall.locator('#wall .count').textContent());
  assert.ok(await counted(wall) < first, 'it counts by itself');
  await isInSight(wall, 'before T-5d');

  // The screen's own clock is a day wrong, and the rollout's was moved: neither is seen.
  const wrong = await open('maria', WALL);
  await wrong.addInitScript(() => { const now = Date.now; Date.now = () => now() + 86_400_000; });
  await wrong.reload();
  await live(wrong);
  await api('/api/clock/advance', { by: '3h' });
  await wrong.locator('.steps article').filter({ hasText: 'You know of this promotion' }).waitFor();
  const times = await truly(wrong);
  assert.ok(Math.abs(times.counted - times.true) < 3, JSON.stringify(times));
  await wrong.getByText('Ines, Tom, Ana, Raj, Li', { exact: true }).waitFor();
  await wrong.close();

  // Nothing to press, nowhere to go.
  assert.equal(await wall.locator('button, select, input, textarea, a, nav').count(), 0);

  const step = (steps, id) => steps.find((one) => one.id === id);
  await playUntil((steps) => step(steps, 'update_containers').status === 'running');
  await api('/api/clock/advance', { by: '5m' });
  const running = wall.locator('.steps article.running');
  await running.getByText(/running for 5m .*expected about 12m/).waitFor();
  assert.ok(await running.locator('progress').evaluate((bar) => bar.value / bar.max > 0.4 && bar.value / bar.max < 0.5));

  // Several steps of a checklist are open at once.
  await playUntil((steps) => step(steps, 'blue_tests').status === 'open' && step(steps, 'update_containers').status === 'done');
  await wall.locator('.steps article').filter({ hasText: 'Log in and walk' }).getByText('Maria').waitFor();
  await isInSight(wall, 'a checklist');

  await playUntil((steps) => Object.keys(step(steps, 'cutover').votes).length === 2);
  const vote = wall.locator('.steps article').filter({ hasText: 'Are we GO' });
  await vote.locator('.votes .go').nth(1).waitFor();
  await vote.getByText('Awaited: Li').waitFor();
  await api('/api/clock/advance', { by: '40m' });
  await wall.locator('.alarms').getByText(/Overdue since .*Are we GO/).waitFor();
  await say('ana', '/rollout hold');
  await wall.getByText(/ON HOLD by Ana since/).waitFor();
  await isInSight(wall, 'on hold and overdue');
  assert.equal(await wall.locator('.alarms').evaluate((node) => getComputedStyle(node).animationName), 'breathe');
  await wall.emulateMedia({ reducedMotion: 'reduce', colorScheme: 'dark' });
  assert.equal(await wall.locator('.alarms').evaluate((node) => getComputedStyle(node).animationName), 'none');
  for (const [width, height] of [[1024, 768], [768, 1024], [380, 760], [1280, 720]]) {
    await wall.setViewportSize({ width, height });
    await isInSight(wall, `${width} x ${height}`);
  }
  await wall.setViewportSize({ width: 1920, height: 1080 });

  // What people write is text.
  const nasty = '<img src=x onerror=alert(1)> **[a](javascript:alert(1))**';
  await say('ana', '/rollout resume');
  await say('ana', `/rollout note ${nasty}`);
  await wall.locator('.newest').getByText('<img src=x').waitFor();
  assert.equal(await wall.locator('img, a').count(), 0);

  // Two are two tiles; each keeps a wall of its own.
  const own = await open('maria', { ...WALL, path: `/rollouts/${ID}/wall` });
  await say('maria', '/rollout start minimal web');
  await wall.locator('.tile').nth(1).waitFor();
  await wall.locator('.tile').filter({ hasText: 'Restart web' }).getByText('Maria').waitFor();
  await wall.locator('.tile').filter({ hasText: 'Overdue since' }).waitFor();
  await own.locator('h1').filter({ hasText: 'v4.3' }).waitFor();

  // A crash is seen at once, and that it is over.
  await demo('kill');
  await own.getByText(/Connection lost\. What you see is \d+s old\./).waitFor();
  assert.ok(await own.locator('main').evaluate((node) => Number(getComputedStyle(node).opacity) < 0.5));
  await demo('start');
  await live(own);
  assert.equal(await own.locator('#lost').isVisible(), false);

  // Neither an answer nor an end: the connection hangs, and the wall notices by itself.
  const hangs = await open('maria', { ...WALL, path: `/rollouts/${ID}/wall` });
  await hangs.clock.install();
  await hangs.reload();
  await live(hangs);
  await hangs.route('**/wall*', () => {});
  await hangs.clock.fastForward(60_000);
  await hangs.getByText(/No answer\. What you see is (5|6)\ds old\.|No answer\. What you see is 1m/).waitFor();

  // What is not there is said on the wall itself: whoever looks after the screen may be far away.
  const nowhere = await fetch(`${process.env.DEMO}/rollouts/andromeda-staging-4.33/wall`);
  assert.equal(nowhere.status, 404);
  assert.match(await nowhere.text(), /There is no rollout `andromeda-staging-4.33`. Did you mean `andromeda-staging-4.3`\?/);
}, { tolerate: /net::ERR_/ });
