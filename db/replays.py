"""Reading decisions with everything that they were made from."""

from __future__ import annotations

from sqlalchemy import text

# Whose a decision is, its task says; so that one which names another tenant comes to light.
OF_TASK = text("""
SELECT d.id FROM decisions d JOIN tasks t ON t.id = d.task_id
WHERE t.tenant = :tenant AND d.task_id = :task ORDER BY d.created_at, d.id
""")

# Short statements one after another: a snapshot held for hours would keep the queue's dead rows from being cleared.
IN_TIME = text("""
SELECT d.created_at, d.id FROM decisions d JOIN tasks t ON t.id = d.task_id
WHERE t.tenant = :tenant AND (d.created_at, d.id) > (CAST(:after_at AS timestamptz), CAST(:after_id AS uuid))
  AND d.created_at < :until
ORDER BY d.created_at, d.id LIMIT :n
""")

BATCH_TASKS = text("""
SELECT custom_id, id FROM tasks WHERE tenant = :tenant AND batch_id = :batch AND custom_id > :after
ORDER BY custom_id LIMIT :n
""")

OF_TASKS = text("""
SELECT d.id FROM decisions d JOIN tasks t ON t.id = d.task_id
WHERE t.tenant = :tenant AND d.task_id = ANY(:tasks) AND d.created_at >= :since AND d.created_at < :until
ORDER BY d.task_id, d.created_at, d.id
""")

NOW = text("SELECT now()")

PAGE = text("""
SELECT d.id, d.task_id, d.tenant, d.is_current, d.answer, d.abstain_flag, d.abstain_reasons, d.confidence,
       d.vote_margin, d.merge_degree, d.set_size, d.best_cluster, d.document, d.calibration_id, d.configuration,
       d.code_version, d.method_version, d.inputs, d.created_at,
       t.custom_id, t.tenant AS task_tenant, t.kind, t.mode, t.domain, t.state, t.spec::text AS spec,
       NOT EXISTS (SELECT FROM decisions n WHERE n.task_id = d.task_id AND (n.created_at, n.id) > (d.created_at, d.id))
           AS is_newest
FROM decisions d JOIN tasks t ON t.id = d.task_id
WHERE d.id = ANY(:ids) AND t.tenant = :tenant
""")

CLUSTERS = text("""
SELECT decision_id, number, members, answer, score, posterior, in_set, outcome FROM clusters
WHERE decision_id = ANY(:ids) ORDER BY decision_id, number
""")

CHAINS = text("""
SELECT task_id, index AS number, answer, logprob, n_tokens, model, explanations, created_at FROM chains
WHERE task_id = ANY(:tasks) AND tenant = :tenant ORDER BY task_id, number
""")

# In the order in which the decide stage reads them. Of the evidence, only what tells answers apart.
VERDICTS = text("""
SELECT task_id, candidate, verifier, version, outcome, created_at,
       evidence -> 'pairs' AS pairs, evidence -> 'behaviour' AS behaviour, evidence = '{}'::jsonb AS is_bare
FROM verdicts WHERE task_id = ANY(:tasks) AND tenant = :tenant ORDER BY task_id, verifier, candidate, version
""")

CALIBRATIONS = text("SELECT * FROM calibrations WHERE id = ANY(:ids)")
