// In earnest: two people log in by their links, in two browsers, and take a rollout from its start to its result. In the middle the
// server is killed; both go on as who they are. A third browser hangs on a wall.
import assert from 'node:assert/strict';
import { DEMO, answer, ask, button, card, demo, fill, live, press, say, scenario, shows } from './browser.mjs';

const SETTLED_MS = 90_000; // a decision settles for a minute, and this clock is the real one

await scenario(async ({ enter }) => {
  const logIn = async (who) => {
    const page = await enter(await ask(`invite ${who}`));
    await page.getByRole('button', { name: /Log in as|Show rollouts/ }).click();
    await page.waitForURL((url) => !url.pathname.startsWith('/log-in'));
    return page;
  };
  const [maria, raj] = [await logIn('maria'), await logIn('raj')];
  await Promise.all([live(maria), live(raj)]);
  await maria.getByText('Maria Keller').first().waitFor();
  assert.equal(await maria.getByLabel('You are').count(), 0, 'nobody chooses who they are');
  await say(maria, '/rollout start tonight 4.3');
  await card(maria).getByRole('heading', { name: 'Release 4.3 tonight' }).waitFor();
  await shows(raj, 'Release 4.3 tonight');
  await press(maria, 'Acknowledge');
  await answer(maria, 'Thank you, Maria.');
  await shows(raj, '☑ Maria');

  await demo('kill');
  await Promise.all([maria, raj].map((page) => page.getByText('Reconnecting…').waitFor()));
  assert.equal(await button(raj, 'Acknowledge').isDisabled(), true);
  await demo('start');
  await Promise.all([live(maria), live(raj)]);

  await press(raj, 'Acknowledge');
  await answer(raj, 'Thank you, Raj.');
  await press(maria, 'Answer: Who is on call?');
  await fill(maria, { Phone: '555-0100' });
  await press(maria, 'Run: Deploy 4.3');
  await maria.getByRole('dialog').waitFor();
  await maria.locator('#ask-send').click();
  await press(raj, 'Done: Look at the start page');
  for (const [page, name] of [[maria, 'Maria'], [raj, 'Raj']]) {
    await press(page, /^GO$/);
    await answer(page, 'Your vote on');
    await shows(maria, new RegExp(`GO by .*${name}|${name}`));
  }
  await card(maria).locator('.chip.succeeded').waitFor({ timeout: SETTLED_MS });
  await card(raj).locator('.chip.succeeded').waitFor();

  // What was announced stands there once, and each of them sees it.
  await raj.goto(`${DEMO}/rooms/stakeholders`);
  for (const subject of ['Release 4.3 is starting', 'Release 4.3 stays']) {
    assert.equal(await raj.locator('.notice').getByRole('heading', { name: subject, exact: true }).count(), 1, subject);
  }
  // What is written to Maria is hers alone.
  const theirs = await raj.evaluate(() => fetch('/api/rooms/direct-maria/messages').then((response) => response.status));
  assert.equal(theirs, 404);

  // Out: the page shows the way in, here and in a window that was open.
  await maria.getByRole('button', { name: 'Log out' }).click();
  await maria.getByRole('heading', { name: 'Log in' }).waitFor();
  await maria.goto(`${DEMO}/rooms/tonight`);
  await maria.getByRole('heading', { name: 'Log in' }).waitFor();
}, { tolerate: /net::ERR_|401|404/ });
