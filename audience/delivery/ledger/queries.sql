-- Statements of the ledger. `Ledger.query` runs one by its name; `:values` are its keyword arguments.

-- The run. ------------------------------------------------------------------------------------------------------------

-- name: insert_run
INSERT INTO run (
    number, id, vendor, method, base_url, credentials_digest, plan_digest, message_digest, native_count, id_count,
    created_at, policies, schedule, max_unknown, cancelled_at, stop_reason
) VALUES (
    1, :id, :vendor, :method, :base_url, :credentials_digest, :plan_digest, :message_digest, :native_count, :id_count,
    :created_at, :policies, :schedule, :max_unknown, :cancelled_at, :stop_reason
);

-- The columns in the order of the fields of `Run`.
-- name: load_run
SELECT
    id, vendor, method, base_url, credentials_digest, plan_digest, message_digest, native_count, id_count,
    created_at, policies, schedule, max_unknown, cancelled_at, stop_reason
FROM run;

-- name: find_cancelled_run
SELECT 1 FROM run WHERE cancelled_at IS NOT NULL;

-- name: cancel_run
UPDATE run SET cancelled_at = coalesce(cancelled_at, :now);

-- name: hold_calls
UPDATE batch SET at_vendor = 0 WHERE state = 'todo' AND at_vendor = 1;

-- name: set_max_unknown
UPDATE run SET max_unknown = :share;

-- name: set_stop_reason
UPDATE run SET stop_reason = :problem;

-- Its location. -------------------------------------------------------------------------------------------------------

-- name: insert_location
INSERT INTO run_location (number, marker, fingerprint, folder, host, recorded_at)
VALUES (1, :marker, :fingerprint, :folder, :host, :recorded_at);

-- name: load_location
SELECT marker, fingerprint, folder, host, recorded_at FROM run_location;

-- name: update_location
UPDATE run_location
SET marker = :marker, fingerprint = :fingerprint, folder = :folder, host = :host, recorded_at = :recorded_at;

-- name: check_integrity
PRAGMA integrity_check(1);

-- Workers. ------------------------------------------------------------------------------------------------------------

-- name: insert_worker
INSERT INTO worker (lock_file, pid, host, started_at) VALUES (:lock_file, :pid, :host, :now) RETURNING number;

-- name: list_unended_workers
SELECT number, lock_file FROM worker WHERE ended_at IS NULL;

-- name: list_unended_commits
SELECT lock_file, commits FROM worker WHERE ended_at IS NULL;

-- name: count_commit
UPDATE worker SET commits = commits + 1 WHERE number = :worker RETURNING commits;

-- name: list_workers
SELECT
    lock_file, pid, host, started_at,
    (SELECT count(*) FROM batch WHERE batch.worker = worker.number AND state IN ('todo', 'sent', 'in_doubt'))
FROM worker WHERE ended_at IS NULL;

-- name: load_last_start
SELECT max(started_at) FROM worker;

-- name: count_workers
SELECT count(*) FROM worker WHERE ended_at IS NULL;

-- name: end_worker
UPDATE worker SET ended_at = :now WHERE number = :worker AND ended_at IS NULL;

-- name: find_living_worker
SELECT 1 FROM worker WHERE number = :worker AND ended_at IS NULL;

-- name: mark_worker_calls_in_doubt
UPDATE batch
SET state = 'in_doubt', lost_replies = lost_replies + 1, settled_at = :now, worker = NULL, problem = :problem
WHERE worker = :worker AND state = 'sent';

-- name: release_worker_batches
UPDATE batch SET worker = NULL WHERE worker = :worker AND state IN ('todo', 'in_doubt');

-- name: free_claims_of_ended_workers
UPDATE batch SET worker = NULL
WHERE state IN ('todo', 'in_doubt') AND worker IN (SELECT number FROM worker WHERE ended_at IS NOT NULL);

-- Claims. -------------------------------------------------------------------------------------------------------------

-- name: insert_planned_part
INSERT INTO part (number, first, stop, variant, language, zone, opens_at)
VALUES (:number, :first, :stop, :variant, :language, :zone, :opens_at);

-- name: insert_batch
INSERT INTO batch (part, native, first, stop, not_before, at_vendor)
VALUES (:part, :native, :first, :stop, :not_before, :at_vendor);

-- name: insert_piece
INSERT INTO batch (parent, part, first, stop, not_before, at_vendor, doubtful_at)
SELECT :parent, part, :first, :stop, not_before, at_vendor, doubtful_at FROM batch WHERE number = :parent;

-- A repeat now would be dropped by the vendor: the window is open by the wall clock and by the clock of the machine since
-- its start, which nobody can set. If the wall clock was set back before the last attempt, or the machine is another one
-- or was started again, the elapsed time is unknown, and the batch is not repeated. `mark_sent` and the trigger
-- `batch_transitions` check the same window.
-- name: find_repeatable
SELECT number FROM batch
WHERE state = 'in_doubt' AND worker IS NULL AND skipped_at IS NULL
  AND :wall BETWEEN sent_at AND dedup_until AND :boot BETWEEN sent_boot AND dedup_until_boot AND boot_id = :boot_id
  AND (at_vendor = 1 AND not_before >= :kept_from
    OR coalesce(not_before <= :wall, 1) AND part NOT IN (SELECT value FROM json_each(:closed_parts)))
LIMIT :limit;

-- name: find_todo_pieces
SELECT number FROM batch
WHERE state = 'todo' AND worker IS NULL AND parent IS NOT NULL
  AND (at_vendor = 1 AND not_before >= :kept_from
    OR coalesce(not_before <= :wall, 1) AND part NOT IN (SELECT value FROM json_each(:closed_parts)))
ORDER BY number DESC LIMIT :limit;

-- name: find_todo
SELECT number FROM batch
WHERE state = 'todo' AND worker IS NULL
  AND (at_vendor = 1 AND not_before >= :kept_from
    OR coalesce(not_before <= :wall, 1) AND part NOT IN (SELECT value FROM json_each(:closed_parts)))
ORDER BY number LIMIT :limit;

-- name: claim_batch
UPDATE batch SET worker = :worker WHERE number = :number
RETURNING native, coalesce(first, 0), coalesce(stop, 0), state, dedup_until, part, not_before, at_vendor;

-- name: release_batch
UPDATE batch SET worker = NULL WHERE number = :number AND worker = :worker AND state IN ('todo', 'in_doubt');

-- name: list_invalid_positions
SELECT position FROM invalid_id WHERE position >= :first AND position < :stop;

-- A batch that waits for its moment is not pending, unless a worker has claimed it.
-- name: find_pending
SELECT 1 FROM batch
WHERE (state = 'sent' OR state = 'todo' AND worker IS NOT NULL)
  OR (state = 'todo' OR state = 'in_doubt' AND skipped_at IS NULL
    AND :wall BETWEEN sent_at AND dedup_until AND :boot BETWEEN sent_boot AND dedup_until_boot AND boot_id = :boot_id)
  AND (at_vendor = 1 AND not_before >= :kept_from
    OR coalesce(not_before <= :wall, 1) AND part NOT IN (SELECT value FROM json_each(:closed_parts)))
LIMIT 1;

-- Returns the next moment of a part that has opened and is being spread.
-- name: find_next_spread
SELECT min(not_before) FROM batch JOIN part ON part.number = batch.part
WHERE state = 'todo' AND not_before > :now AND opens_at <= :now
  AND part NOT IN (SELECT value FROM json_each(:closed_parts));

-- Parts. --------------------------------------------------------------------------------------------------------------

-- name: list_parts
SELECT first, stop, variant, language, zone, opens_at FROM part ORDER BY number;

-- Batches of each part that are not sent and wait for their moment; the last column is the next moment.
-- name: list_waiting
SELECT part, count(*), coalesce(sum(stop - first), 0), min(not_before), max(not_before) FROM batch
WHERE state = 'todo' AND worker IS NULL AND not_before > :now AND at_vendor = 0 GROUP BY part
UNION ALL
SELECT part, count(*), coalesce(sum(stop - first), 0), NULL, NULL FROM batch
WHERE state = 'todo' AND worker IS NULL AND coalesce(not_before <= :now, 1)
  AND part IN (SELECT value FROM json_each(:closed_parts)) GROUP BY part;

-- name: count_kept
SELECT count(*), coalesce(sum(stop - first), 0), min(due_at), max(due_at) FROM batch
WHERE state = 'accepted' AND due_at > :now;

-- Transitions. --------------------------------------------------------------------------------------------------------

-- name: load_dedup_window
SELECT
    state, dedup_until, dedup_until_boot,
    :wall BETWEEN sent_at AND dedup_until AND :boot BETWEEN sent_boot AND dedup_until_boot AND boot_id = :boot_id
FROM batch WHERE number = :number;

-- name: mark_sent
UPDATE batch
SET state = 'sent', attempts = attempts + 1, sent_at = :wall, sent_boot = :boot, boot_id = nullif(:boot_id, ''),
    settled_at = NULL, worker = :worker, handle = :handle, dedup_until = :until, dedup_until_boot = :until_boot,
    due_at = :due_at
WHERE number = :number;

-- name: mark_settled
UPDATE batch SET state = :state, settled_at = :now, message_id = :message_id, problem = :problem WHERE number = :number;

-- name: mark_todo
UPDATE batch
SET state = 'todo', dedup_until = NULL, due_at = NULL, problem = :problem, worker = CASE WHEN :keeps_claim THEN worker END
WHERE number = :number;

-- name: mark_in_doubt
UPDATE batch
SET state = 'in_doubt', lost_replies = lost_replies + 1, settled_at = :now, problem = :problem,
    worker = CASE WHEN :keeps_claim THEN worker END
WHERE number = :number;

-- name: withdraw_batch
UPDATE batch SET state = 'withdrawn', withdrawn_at = :now WHERE number = :number;

-- Calls that the vendor has accepted and delivers later. That of a loop is due at its first moment.
-- name: list_accepted_calls
SELECT number, native, coalesce(first, 0), coalesce(stop - first, 0), message_id, sent_at, due_at FROM batch
WHERE state = 'accepted' AND due_at IS NOT NULL ORDER BY due_at;

-- name: count_unanswered
SELECT count(*) FROM batch WHERE state = 'sent';

-- name: count_doubtful_due
SELECT count(*), coalesce(sum(stop - first), 0) FROM batch WHERE state = 'in_doubt' AND due_at > :now;

-- name: end_dedup_window
UPDATE batch SET dedup_until = NULL WHERE number = :number;

-- name: load_claimant
SELECT worker FROM batch WHERE number = :number;

-- name: find_lost_replies
SELECT 1 FROM batch WHERE number = :number AND lost_replies > 0;

-- name: insert_invalid_id
INSERT INTO invalid_id (position, id, code, batch) VALUES (:position, :id, :code, :batch);

-- name: retry_doubts
UPDATE batch
SET state = 'todo', lost_replies = 0, settled_at = NULL, dedup_until = NULL, due_at = NULL,
    doubtful_at = coalesce(doubtful_at, due_at, sent_at)
WHERE state = 'in_doubt' AND worker IS NULL AND skipped_at IS NULL
  AND NOT coalesce(
    :wall BETWEEN sent_at AND dedup_until AND :boot BETWEEN sent_boot AND dedup_until_boot AND boot_id = :boot_id, 0);

-- name: skip_doubts
UPDATE batch SET skipped_at = :wall
WHERE state = 'in_doubt' AND worker IS NULL AND skipped_at IS NULL
  AND NOT coalesce(
    :wall BETWEEN sent_at AND dedup_until AND :boot BETWEEN sent_boot AND dedup_until_boot AND boot_id = :boot_id, 0);

-- Policies. -----------------------------------------------------------------------------------------------------------

-- name: list_sendable_batches
SELECT number, native, coalesce(first, 0), coalesce(stop, 0), lost_replies > 0 OR doubtful_at IS NOT NULL FROM batch
WHERE worker IS NULL AND (
    state = 'todo'
    OR state = 'in_doubt' AND skipped_at IS NULL AND (
        :retries_doubts
        OR :wall BETWEEN sent_at AND dedup_until AND :boot BETWEEN sent_boot AND dedup_until_boot AND boot_id = :boot_id
    )
)
ORDER BY first;

-- name: leave_out_id
INSERT OR IGNORE INTO invalid_id (position, id, code, batch) VALUES (:position, :id, :code, :batch);

-- In a new ledger.
-- name: leave_out_new_id
INSERT INTO invalid_id (position, id, code, batch)
SELECT :position, :id, :code, number FROM batch WHERE parent IS NULL AND stop > :position ORDER BY stop LIMIT 1;

-- name: reject_emptied_batches
UPDATE batch SET state = 'rejected', settled_at = :now, problem = :problem
WHERE state = 'todo' AND worker IS NULL AND native IS NULL
  AND (SELECT count(*) FROM invalid_id WHERE position >= first AND position < stop) = stop - first;

-- name: stop_repeating_emptied_batches
UPDATE batch SET dedup_until = NULL
WHERE state = 'in_doubt' AND worker IS NULL AND native IS NULL
  AND (SELECT count(*) FROM invalid_id WHERE position >= first AND position < stop) = stop - first;

-- Handles. ------------------------------------------------------------------------------------------------------------

-- name: insert_handle
INSERT INTO handle (value, batch, body, max_uses, opened_at, expires_at)
VALUES (:value, :batch, :body, :max_uses, :now, :expires_at);

-- name: take_handle
UPDATE handle SET use_count = use_count + 1
WHERE number = (
    SELECT number FROM handle
    WHERE batch IS :batch AND body = :body AND closed_at IS NULL AND use_count < max_uses AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY number LIMIT 1
)
RETURNING number, value;

-- name: list_open_handles
SELECT number, value FROM handle WHERE closed_at IS NULL;

-- name: close_handle
UPDATE handle SET closed_at = :now WHERE number = :number;

-- Idempotency keys of the vendor. -------------------------------------------------------------------------------------

-- name: load_batch_state
SELECT state FROM batch WHERE number = :number;

-- The key that the batch was given last, and whether a first call may use it.
-- name: find_own_key
SELECT
    value, source,
    :wall BETWEEN drawn_at AND drawn_at + :max_age AND :boot BETWEEN drawn_boot AND drawn_boot + :max_age
      AND boot_id = :boot_id
FROM vendor_key WHERE batch = :batch ORDER BY number DESC LIMIT 1;

-- name: give_key
UPDATE vendor_key SET batch = :batch
WHERE number = (
    SELECT number FROM vendor_key
    WHERE batch IS NULL AND source = :source
      AND :wall BETWEEN drawn_at AND drawn_at + :max_age AND :boot BETWEEN drawn_boot AND drawn_boot + :max_age
      AND boot_id = :boot_id
    ORDER BY number LIMIT 1
)
RETURNING value;

-- name: insert_key
INSERT OR IGNORE INTO vendor_key (source, value, drawn_at, drawn_boot, boot_id)
VALUES (:source, :value, :wall, :boot, :boot_id)
RETURNING number;

-- Status. -------------------------------------------------------------------------------------------------------------

-- name: list_leaf_ranges
SELECT state, coalesce(first, 0), coalesce(stop, 0) FROM leaf_batch;

-- name: list_all_invalid_positions
SELECT position FROM invalid_id ORDER BY position;

-- name: count_invalid_ids
SELECT code, count(*) FROM invalid_id GROUP BY code ORDER BY code;

-- name: count_skipped
SELECT count(*) FROM batch WHERE skipped_at IS NOT NULL;

-- name: list_message_ids
SELECT DISTINCT message_id FROM batch WHERE message_id IS NOT NULL ORDER BY number LIMIT :limit;

-- name: list_failed_batches
SELECT number, native, first, stop, state, skipped_at IS NOT NULL, problem FROM leaf_batch
WHERE state IN ('rejected', 'in_doubt') ORDER BY number LIMIT :limit;

-- name: count_failures
SELECT state, problem, count(*), coalesce(sum(stop - first), 0) FROM leaf_batch
WHERE state IN ('rejected', 'in_doubt') GROUP BY state, problem ORDER BY min(number);

-- Returns how many calls were settled since a moment, and how many ids and native requests they had.
-- name: count_settled_since
SELECT count(*), coalesce(sum(coalesce(stop - first, 1)), 0) FROM batch WHERE settled_at > :since AND attempts > 0;

-- Returns how many ids and native requests the plan has, and how many of them are pending.
-- name: count_progress
SELECT
    (SELECT native_count + id_count FROM run),
    (SELECT coalesce(sum(coalesce(stop - first, 1)), 0) FROM batch WHERE state IN ('todo', 'sent'));

-- Deliveries. ---------------------------------------------------------------------------------------------------------

-- A call without a reply may have been delivered, also if a repeat of it that the user chose was not. A batch that the
-- vendor has taken nothing of has no moment.
-- name: list_id_outcomes
SELECT
    leaf_batch.number, first, stop,
    CASE WHEN state = 'accepted' AND coalesce(due_at <= :now, 1) THEN 'delivered'
        WHEN doubtful_at IS NOT NULL THEN 'in-doubt'
        WHEN state = 'accepted' OR state = 'todo' AND not_before > :now AND cancelled_at IS NULL THEN 'scheduled'
        WHEN state IN ('todo', 'withdrawn') THEN 'not-sent' WHEN state = 'rejected' THEN 'rejected' ELSE 'in-doubt' END,
    CASE WHEN state IN ('todo', 'rejected', 'withdrawn') AND doubtful_at IS NOT NULL THEN doubtful_at
        WHEN state = 'todo' AND not_before > :now AND cancelled_at IS NULL THEN not_before
        WHEN state NOT IN ('todo', 'withdrawn') THEN coalesce(due_at, sent_at, settled_at) END,
    message_id,
    CASE WHEN state <> 'accepted' THEN json_extract(problem, '$.code') END
FROM leaf_batch, run WHERE first IS NOT NULL ORDER BY first;

-- name: list_invalid_id_outcomes
SELECT
    position, code, batch,
    CASE WHEN code NOT LIKE 'policy:%' AND code <> 'not-in-index' THEN coalesce(doubtful_at, due_at, sent_at, settled_at) END,
    CASE WHEN code LIKE 'in-doubt-%' THEN 'in-doubt' WHEN code LIKE 'policy:%' OR code = 'not-in-index' THEN 'not-sent'
        WHEN doubtful_at IS NOT NULL THEN 'in-doubt' ELSE 'rejected' END
FROM invalid_id JOIN batch ON batch.number = invalid_id.batch ORDER BY position;

-- name: list_native_outcomes
SELECT
    native, batch.number,
    CASE WHEN state = 'accepted' AND coalesce(due_at <= :now, 1) THEN 'delivered'
        WHEN doubtful_at IS NOT NULL THEN 'in-doubt'
        WHEN state = 'accepted' OR state = 'todo' AND not_before > :now AND cancelled_at IS NULL THEN 'scheduled'
        WHEN state IN ('todo', 'withdrawn') THEN 'not-sent' WHEN state = 'rejected' THEN 'rejected' ELSE 'in-doubt' END,
    CASE WHEN state IN ('todo', 'rejected', 'withdrawn') AND doubtful_at IS NOT NULL THEN doubtful_at
        WHEN state = 'todo' AND not_before > :now AND cancelled_at IS NULL THEN not_before
        WHEN state NOT IN ('todo', 'withdrawn') THEN coalesce(due_at, sent_at, settled_at) END,
    message_id
FROM batch, run WHERE native IS NOT NULL ORDER BY native;

-- Forgetting. ---------------------------------------------------------------------------------------------------------

-- name: list_redactable_texts
SELECT id FROM invalid_id
UNION ALL SELECT problem FROM batch WHERE problem IS NOT NULL
UNION ALL SELECT stop_reason FROM run WHERE stop_reason IS NOT NULL;

-- name: redact_plan_digest
UPDATE run SET plan_digest = :digest;

-- name: list_invalid_ids
SELECT position, id FROM invalid_id;

-- name: list_invalid_ids_with_codes
SELECT id, code FROM invalid_id ORDER BY position;

-- name: redact_invalid_id
UPDATE invalid_id SET id = :id WHERE position = :position;

-- name: list_problems
SELECT number, problem FROM batch WHERE problem IS NOT NULL;

-- name: redact_problem
UPDATE batch SET problem = :problem WHERE number = :number;

-- name: load_stop_reason
SELECT stop_reason FROM run;

-- name: leave_out_forgotten
INSERT OR IGNORE INTO invalid_id (position, id, code, batch)
SELECT
    :position, :id,
    CASE WHEN lost_replies > 0 OR doubtful_at IS NOT NULL THEN 'in-doubt-policy:forgotten' ELSE 'policy:forgotten' END,
    number
FROM batch WHERE first <= :position AND :position < stop AND state IN ('todo', 'in_doubt');
