// From the roll call to GO, everything pressed on the page; the stakeholders hear of each thing exactly once.
import assert from 'node:assert/strict';
import { answer, api, become, button, fill, jumpUntil, press, scenario, shows, startRollout } from './browser.mjs';

await scenario(async ({ open }) => {
  const page = await open('maria');
  await startRollout(page);
  await jumpUntil(page, 'Acknowledge');
  for (const [id, name] of [['ines', 'Ines'], ['tom', 'Tom'], ['ana', 'Ana'], ['raj', 'Raj'], ['li', 'Li']]) {
    await become(page, id);
    await press(page, 'Acknowledge');
    await answer(page, `Thank you, ${name}.`);
  }
  await button(page, 'Acknowledge').waitFor({ state: 'hidden' });

  await become(page, 'maria');
  await press(page, 'Done: Confirm Go Call');
  await press(page, 'Answer: Confirm the maintenance window');
  assert.match(await page.getByRole('dialog').getByLabel('Maintenance window').inputValue(), /^\d{4}-\d\d-\d\d \d\d:\d\d/, 'what was proposed is prefilled');
  await fill(page);
  await press(page, 'Answer: Fill in what');
  await fill(page, {
    'Prechange Blue stack ID': 'andromeda-staging-blue-17',
    'Prechange Green stack ID': 'andromeda-staging-green-16',
    'New container version': '4.3.0',
  });
  await jumpUntil(page, 'Done: Kick off special pre-change backup');
  await press(page, 'Tick: In backup system');
  await shows(page, '☑ In backup system');
  await press(page, 'Done: Kick off special pre-change backup');
  await fill(page, { 'Backup job ID': 'backup-0815', 'Backup finished': true });

  await jumpUntil(page, 'Run: Update IaC Staging Stack');
  await press(page, 'Run: Update IaC Staging Stack');
  await page.getByRole('dialog').getByText('cloudformation.update-stack on aws-staging').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await button(page, 'Run: Update IaC Staging Stack').waitFor();
  await press(page, 'Run: Update IaC Staging Stack');
  await fill(page);
  await shows(page, /Running for/);

  // The tests are a checklist with a card of its own.
  await jumpUntil(page, 'Done: Open the start page');
  // What waits for whoever looks stands first; for others the rollout does.
  await page.waitForFunction(() => document.querySelector('#pinned .card h2').innerText.startsWith('Blue side tests'));
  const others = await open('sam');
  assert.match(await others.locator('#pinned .card h2').first().innerText(), /^Promote Changeset/);
  await others.close();
  for (const test of ['Open the start page', 'See that it says', 'Log in and walk', 'Look through the logs']) {
    await press(page, `Done: ${test}`);
    await button(page, `Done: ${test}`).waitFor({ state: 'hidden' });
  }
  await press(page, 'Answer: Did the Blue side pass?');
  await fill(page);
  await button(page, 'Done: Test the Blue side').waitFor();
  await press(page, 'Done: Test the Blue side');
  await fill(page, { 'Issue number of the completed tests': '#4711' });
  for (const [id, name] of [['ana', 'Ana'], ['raj', 'Raj'], ['li', 'Li']]) {
    await become(page, id);
    await button(page, /^GO$/).waitFor();
    if (id === 'raj') {
      // A no-go counts at once; why is asked after, and a vote can be changed until it is final.
      await press(page, /^NO-GO$/);
      await answer(page, 'is NO-GO.');
      await fill(page, { 'Why is it a NO-GO?': 'latency doubled' });
      await shows(page, /NO-GO by Raj.*latency doubled/);
    }
    await press(page, /^GO$/);
    await answer(page, 'Your vote on');
    await shows(page, new RegExp(`GO by ${name}`));
  }
  await become(page, 'maria');
  await jumpUntil(page, 'Run: Prescale Blue side');

  for (const room of ['email-andromeda-preproduction-watch', 'slack-andromeda-preproduction-watch']) {
    const stakeholder = await open('sam', { path: `/rooms/${room}` });
    for (const subject of ['Changeset 4.3 is commencing to Staging', 'GO on Changeset 4.3 to Staging']) {
      const notice = stakeholder.locator('.notice').getByRole('heading', { name: subject, exact: true });
      await notice.first().waitFor();
      assert.equal(await notice.count(), 1, `${subject} in ${room}`);
    }
    assert.equal((await api(`/api/rooms/${room}/messages`)).length, 2, `nothing else in ${room}`);
    assert.equal(await stakeholder.locator('#box').count(), 0, 'commands are not written where announcements arrive');
    await stakeholder.close();
  }
  const full = await open('sam', { path: '/rollouts/andromeda-staging-4.3' });
  await full.locator('#step-cutover').getByText('Decided: GO').waitFor();
  assert.equal(await full.locator('.announcement').count(), 2);
  // A phase that is open is under way: whether it waits, its steps say.
  await full.locator('.full-phase.open header').getByText(/^under way · .*open since/).waitFor();
  assert.equal(await full.locator('.full-phase header').getByText('waiting').count(), 0);
});
