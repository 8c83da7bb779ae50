// Two people at two windows: what one does, the other sees at once; what no longer applies is answered, not done.
import assert from 'node:assert/strict';
import { ID, answer, api, button, card, fill, playUntil, press, scenario, shows, startRollout } from './browser.mjs';

await scenario(async ({ open }) => {
  const [maria, tom] = [await open('maria'), await open('tom')];
  await tom.evaluate(() => { window.notReloaded = true; });
  await tom.locator('#box').fill('half a sen');
  await startRollout(maria);
  await shows(tom, 'Promote Changeset v4.3 To Staging');

  // Folded logs stay folded, whatever is added to them.
  await tom.locator('.log summary').first().click();
  await playUntil((steps) => steps.some((step) => step.id === 'confirm_window' && step.status === 'open'));
  await button(tom, 'Answer: Confirm the maintenance window').waitFor();
  assert.equal(await tom.locator('.log').first().getAttribute('open'), null);

  // Both look at the same question; Maria is quicker.
  await press(tom, 'Answer: Confirm the maintenance window');
  await tom.getByRole('dialog').getByLabel('Maintenance window').fill('2027-01-01 02:00');
  await press(maria, 'Answer: Confirm the maintenance window');
  await fill(maria);
  await button(tom, 'Answer: Confirm the maintenance window').waitFor({ state: 'hidden' });
  assert.equal(await tom.getByRole('dialog').getByLabel('Maintenance window').inputValue(), '2027-01-01 02:00', 'an open form stays');
  const before = (await api(`/api/rollouts/${ID}`)).sequence;
  await fill(tom);
  await answer(tom, 'Nothing changed.', '.refused');
  await answer(tom, 'was completed by Maria', '.refused');
  assert.equal((await api(`/api/rollouts/${ID}`)).sequence, before);

  assert.equal(await tom.locator('#box').inputValue(), 'half a sen', 'what is typed stays');
  assert.equal(await tom.evaluate(() => window.notReloaded), true);
  assert.equal(await card(tom).count(), 1);
});
