// How it went before: four restarts, of which the last took longer; a rehearsal counts only where it is asked for.
import assert from 'node:assert/strict';
import { ROOM, api, scenario } from './browser.mjs';

const say = async (text) => {
  const told = await api(`/api/rooms/${ROOM}/messages`, { person: 'maria', text });
  assert.ok(!told.refused, `${text}: ${told.answer}`);
  return told.rollout;
};
const pass = (by, rollout) => api('/api/clock/advance', { by, rollout });

// One restart: so long until they were told, so long until it was restarted.
async function restart(service, told, restarted, state = 'up', how = '') {
  const id = await say(`/rollout start minimal ${service}${how}`);
  await pass(told, id);
  await say(`/rollout ${id} done told`);
  await pass(restarted, id);
  await say(`/rollout ${id} done restarted`);
  await say(`/rollout ${id} answer check state=${state}`);
  return id;
}

await scenario(async ({ open }) => {
  const page = await open('maria', { path: '/history' });
  await page.getByRole('heading', { name: 'Nothing is finished yet' }).waitFor();
  await restart('a', '1m', '11m');
  await restart('b', '2m', '12m');
  const third = await restart('c', '4m', '12m', 'down');
  await page.getByText('3 finished rollouts').waitFor();
  const row = (name) => page.locator('tr').filter({ hasText: name });
  const cells = async (name) => (await row(name).locator('td').allInnerTexts()).map((text) => text.trim()).filter(Boolean).join(' | ');
  // The demo's clock goes on while it is moved: a second or two more than it was moved by.
  const is = (text, pattern) => assert.match(text.replaceAll(/(\dm) \ds/g, '$1'), pattern);

  // Three runs are too few to hold one against the others.
  is(await cells('Restart c'), /^3 \| 12m \| 12m \| 12m$/);
  const early = await open('maria', { path: `/rollouts/${third}` });
  await early.getByRole('heading', { name: 'Restart c', level: 1 }).waitFor();
  assert.equal(await early.locator('.compared').count(), 0);
  await early.close();

  const fourth = await restart('d', '1m', '20m');
  await page.getByText('4 finished rollouts').waitFor();
  is(await cells('Restart d'), /^4 \| 12m \| 20m \| 20m \| \+(8m|7m 5\ds)$/);
  assert.equal(await row('Restart d').locator('.slower').count(), 1);
  is(await cells('Tell who uses d'), /^4 \| 1m 3\ds \| 4m \| 1m \| −(1m|5\ds)$/);
  assert.equal(await row('Tell who uses d').locator('.faster').count(), 1);
  assert.equal(await row('Record').count(), 0, 'what takes no time is not measured');
  const month = (await page.locator('tbody').first().locator('tr').first().locator('td.number').allInnerTexts()).map(Number);
  assert.deepEqual(month, [3, 1, 0, 0, 4]);
  await page.locator('.slowest li').first().getByText('Restart d: 12m').waitFor();

  // On the rollout's page every step says how it compares.
  const full = await open('maria', { path: `/rollouts/${fourth}` });
  await full.locator('#step-restarted .compared.longest').getByText(/^20m( \ds)?; usually 11m 30s( \ds)? to 12m( \ds)? over 3 earlier runs: the longest so far$/).waitFor();
  is(await full.locator('#step-told .compared').innerText(), /^1m; usually 1m 3\ds to 3m over 3 earlier runs$/);
  const open5 = await say('/rollout start minimal e');
  await pass('3m', open5);
  const running = await open('maria', { path: `/rollouts/${open5}` });
  await running.locator('#step-told .compared').getByText(/^3m( \ds)? so far; usually .* over 4 earlier runs/).waitFor();

  // Rehearsals, and one runbook among others.
  await say(`/rollout ${open5} abort enough`);
  await restart('f', '1m', '1m', 'up', ' rehearsal');
  await page.getByText('5 finished rollouts').waitFor();
  await page.getByRole('link', { name: 'with rehearsals' }).click();
  await page.getByText('6 finished rollouts').waitFor();
  await page.locator('.chip').filter({ hasText: 'rehearsal' }).waitFor();
  await page.locator('.history-filter').getByRole('link', { name: /^minimal/ }).click();
  await page.getByRole('heading', { name: 'Steps of minimal' }).waitFor();
  assert.equal(await page.locator('.history-filter [aria-current="page"]').innerText(), 'minimal 6');
  // How many there are is read on the ground of what is chosen, too.
  const [chosen, count] = await page.evaluate(() => ['', ' small'].map((part) => getComputedStyle(document.querySelector(`.history-filter [aria-current="page"]${part}`)).color));
  assert.equal(count, chosen);
  const unknown = await fetch(`${process.env.DEMO}/history?runbook=minimax`, { headers: { accept: 'text/html' } });
  assert.equal(unknown.status, 404);
  assert.match(await unknown.text(), /Did you mean `minimal`/);

  await page.setViewportSize({ width: 380, height: 760 });
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(wide <= screen, `${wide} wide on ${screen}`);
});
