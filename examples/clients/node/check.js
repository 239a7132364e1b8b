// Walks one made-up subject through consentd: asks, records a double opt-in, reads its own writes, asks in batches and over a stream,
// has a denial and an error explained, withdraws. Prints a line of JSON for each step, and ends with status 1 if an answer is another
// than expected. The tenant's policy must be that of examples/shop.
//
//   node check.js [ADDRESS]      or CONSENTD_ADDR=ADDRESS node check.js; otherwise 127.0.0.1:7433
'use strict';

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { connect, explainError, requestId, timestamp } = require('./consentd');

const address = process.argv[2] || process.env.CONSENTD_ADDR || '127.0.0.1:7433';
const newsletter = 'newsletter/email';
const phone = 'newsletter/phone';

// A person nobody has asked yet. Letter case and space around an address make no other person.
const name = `node-${randomUUID()}`;
const subject = `${name}@example.org`;
const spelledOtherwise = ` ${name.toUpperCase()}@Example.ORG `;

// report prints a step.
function report(step, answer) {
  console.log(JSON.stringify({ step, ...answer }));
}

// answerOf returns the answer of a result. A result without one is an error: neither a yes nor a no.
function answerOf({ permission, result, answer, status }) {
  assert.equal(result, 'answer', `${permission} wasn't decided: ${status && status.message}`);
  return {
    permission,
    // Whatever isn't ALLOW is a denial, also what a later version may come to say.
    allowed: answer.decision === 'DECISION_ALLOW',
    reason: answer.reason.replace('REASON_', ''),
    basis: answer.basis.replace('BASIS_', ''),
  };
}

// expect compares a decision with the one expected.
function expect(decision, allowed, reason) {
  assert.deepEqual({ allowed: decision.allowed, reason: decision.reason }, { allowed, reason });
}

// ask checks one permission, at a revision or as things stand.
async function ask(consentd, who, permission, revision) {
  const response = await consentd.check({
    subject: who,
    permissions: [permission],
    consistency: revision ? { at_least: revision } : undefined,
  });
  assert.equal(response.results.length, 1);
  return { ...answerOf(response.results[0]), revision: response.revision, policy_version: response.policy_version };
}

// write records events of the subject, and returns the revision to read them at.
async function write(consentd, events) {
  const response = await consentd.writeEvents({
    request_id: requestId(),
    events: events.map((event) => ({ subject, scope: { permissions: [newsletter] }, ...event })),
  });
  return { revision: response.revision, effects: response.effects.map((effect) => effect.replace('EFFECT_', '')) };
}

async function askFirst(consentd) {
  const decision = await ask(consentd, subject, newsletter);
  report('never asked', decision);
  expect(decision, false, 'NO_CONSENT');
}

async function doubleOptIn(consentd) {
  const asked = new Date(Date.now() - 60_000);
  const granted = await write(consentd, [
    {
      kind: 'EVENT_KIND_GRANTED',
      occurred_at: timestamp(asked),
      evidence: { notice_version: 3, method: 'METHOD_WEB_FORM', source: 'examples/clients/node', reference: 'forms/1' },
    },
  ]);
  report('granted', granted);
  assert.deepEqual(granted.effects, ['APPLIED']);
  const unconfirmed = await ask(consentd, subject, newsletter, granted.revision);
  report('granted, not confirmed', unconfirmed);
  expect(unconfirmed, false, 'UNCONFIRMED');

  const confirmed = await write(consentd, [
    { kind: 'EVENT_KIND_CONFIRMED', occurred_at: timestamp(new Date(asked.getTime() + 30_000)) },
  ]);
  report('confirmed', confirmed);
  const decision = await ask(consentd, spelledOtherwise, newsletter, confirmed.revision);
  report('granted and confirmed', decision);
  expect(decision, true, 'CONSENT');
  return confirmed.revision;
}

async function askInBatches(consentd, revision) {
  const response = await consentd.batchCheck({
    questions: [{ subject }, { subject: `nobody-${name}@example.org` }, { subject: '' }],
    permissions: [newsletter, phone],
    consistency: { at_least: revision },
  });
  assert.equal(response.items.length, 3);
  const [known, unknown, unusable] = response.items;
  report('a batch', { results: [known, unknown].map((item) => item.results.map(answerOf)), unusable: unusable.status.message });
  expect(answerOf(known.results[0]), true, 'CONSENT');
  expect(answerOf(known.results[1]), false, 'NO_CONSENT');
  expect(answerOf(unknown.results[0]), false, 'NO_CONSENT');
  assert.notEqual(unusable.status.code, 0);
}

// askOverAStream sends all questions before it reads an answer. Answers may overtake each other, and say which question they are to.
function askOverAStream(consentd, revision) {
  const questions = [newsletter, phone, 'recommendations/web'];
  return new Promise((resolve, reject) => {
    const answers = new Map();
    const stream = consentd.streamCheck();
    stream.on('error', reject);
    stream.on('data', ({ correlation_id: id, result, check, status }) => {
      if (result !== 'check') {
        reject(new Error(`question ${id} wasn't answered: ${status.message}`));
        return;
      }
      answers.set(Number(id), answerOf(check.results[0]));
    });
    stream.on('end', () => resolve(questions.map((_, i) => answers.get(i + 1))));
    questions.forEach((permission, i) => {
      stream.write({
        correlation_id: i + 1,
        check: { subject, permissions: [permission], consistency: { at_least: revision } },
      });
    });
    stream.end();
  });
}

async function stream(consentd, revision) {
  const answers = await askOverAStream(consentd, revision);
  report('a stream', { results: answers });
  assert.ok(answers.every(Boolean), 'a question of the stream has no answer');
  assert.deepEqual(answers.map((answer) => answer.reason), ['CONSENT', 'NO_CONSENT', 'NO_CONSENT']);
}

async function explain(consentd) {
  const response = await consentd.explain({ subject, permissions: [phone] });
  const [{ answer, failed }] = response.explanations;
  const mended = failed.map(({ reason, remedy }) => ({ reason: reason.replace('REASON_', ''), remedy: remedy.replace('REMEDY_', '') }));
  report('a denial explained', { permission: phone, reason: answer.reason.replace('REASON_', ''), failed: mended });
  assert.equal(answer.decision, 'DECISION_DENY');
  assert.ok(mended.some(({ reason }) => reason === 'NO_CONSENT'));
}

async function fail(consentd) {
  const error = await consentd.check({ subject: '', permissions: [newsletter] }).then(
    () => assert.fail('a check of nobody was answered'),
    (failure) => failure,
  );
  const explained = explainError(error);
  report('an error explained', explained);
  assert.equal(explained.code, 'INVALID_ARGUMENT');
  assert.equal(explained.reason, 'INVALID_ARGUMENT');
  assert.equal(explained.domain, 'consentd');
  assert.deepEqual(explained.fields, ['subject']);
}

async function withdraw(consentd) {
  const withdrawn = await write(consentd, [{ kind: 'EVENT_KIND_WITHDRAWN' }]);
  report('withdrawn', withdrawn);
  assert.deepEqual(withdrawn.effects, ['APPLIED']);
  const decision = await ask(consentd, subject, newsletter, withdrawn.revision);
  report('after the withdrawal', decision);
  expect(decision, false, 'WITHDRAWN');
}

async function main() {
  const consentd = connect(address);
  try {
    await askFirst(consentd);
    const revision = await doubleOptIn(consentd);
    await askInBatches(consentd, revision);
    await stream(consentd, revision);
    await explain(consentd);
    await fail(consentd);
    await withdraw(consentd);
    report('done', { address });
  } finally {
    consentd.close();
  }
}

main().catch((error) => {
  const why = error.code !== undefined && error.metadata ? explainError(error) : { message: error.message };
  console.error(JSON.stringify({ step: 'failed', ...why }));
  process.exitCode = 1;
});
