-- Statements of the ledger of a sync by name.

-- name: insert_sync
INSERT INTO sync (id, number, packing, vendor, host, request, pair_count, timeout, boot_id, late_until, created_at)
VALUES (1, :number, :packing, :vendor, :host, :request, :pair_count, :timeout, :boot_id, :late_until, :created_at);

-- name: insert_call
INSERT INTO call (number) VALUES (:number);

-- name: load_sync
SELECT number, packing, vendor, host, request, pair_count, timeout, boot_id, late_until, created_at, ended_at,
       cancelled_at, stop_problem
FROM sync;

-- name: load_cancelled_at
SELECT cancelled_at FROM sync;

-- name: mark_sent
UPDATE call SET state = 'sent', attempts = attempts + 1, sent_boot = :boot WHERE number = :number;

-- name: mark_leaving
UPDATE call SET sent_boot = :boot WHERE number = :number;

-- name: mark_lost
UPDATE call SET lost_boot = max(coalesce(lost_boot, 0), :boot), problem = :problem WHERE number = :number;

-- name: mark_refused_for_now
UPDATE call SET state = CASE WHEN lost_boot IS NULL AND :is_untouched THEN 'todo' ELSE state END, problem = :problem
WHERE number = :number;

-- name: mark_done
UPDATE call SET state = 'done', settled_at = :now, problem = NULL WHERE number = :number;

-- name: mark_rejected
UPDATE call SET state = CASE WHEN lost_boot IS NULL AND :is_untouched THEN 'rejected' ELSE state END,
       settled_at = :now, problem = :problem
WHERE number = :number;

-- name: insert_unknown_id
INSERT INTO unknown_id (position, call) VALUES (:position, :call) ON CONFLICT DO NOTHING;

-- name: list_unknown_ids
SELECT position FROM unknown_id ORDER BY position;

-- name: list_calls
SELECT number FROM call WHERE state = :state ORDER BY number;

-- name: count_calls
SELECT state, count(*) FROM call GROUP BY state;

-- name: count_unknown_ids
SELECT count(*) FROM unknown_id;

-- name: find_last_uncertain
SELECT max(boot) FROM (
    SELECT max(lost_boot) AS boot FROM call WHERE lost_boot IS NOT NULL
    UNION ALL SELECT max(sent_boot) FROM call WHERE state = 'sent'
);

-- name: list_problems
SELECT problem, count(*), min(number) FROM call
WHERE problem IS NOT NULL AND state IN ('sent', 'rejected', 'todo') GROUP BY problem ORDER BY count(*) DESC, min(number)
LIMIT 20;

-- name: cancel_sync
UPDATE sync SET cancelled_at = :now WHERE cancelled_at IS NULL AND ended_at IS NULL;

-- name: end_sync
UPDATE sync SET ended_at = :now, stop_problem = NULL;

-- name: set_stop_problem
UPDATE sync SET stop_problem = :problem;
