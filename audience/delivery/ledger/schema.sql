-- Ledger of one run: its batches, the calls that were made for them, and the results.
--
-- A batch is one call: a native request, by its number, or the ids [first, stop) of the plan, all in one part of it.
-- The ids themselves are in the request files. Only those that the vendor rejected or a policy left out are repeated here.
-- Times are Unix timestamps in seconds, UTC.
--
--              ┌───────── the call reached no device ────┐
--              ▼                                         │
--   insert → todo ──────────────▶ sent ──────────────────┴─▶ accepted, or rejected: its pieces, if any, are new batches
--              ▲                  ▲ │                           │
--              │                  │ ▼  the reply was lost        ▼  the vendor withdrew the call before its time
--              └─ --on-doubt ── in_doubt                     withdrawn
--                 retry         (back to sent by itself only while the vendor drops repeats)

CREATE TABLE run (
    number             INTEGER PRIMARY KEY CHECK (number = 1),
    id                 TEXT NOT NULL,                          -- a UUID, from which idempotency keys are derived
    vendor             TEXT NOT NULL,
    method             TEXT NOT NULL,
    base_url           TEXT NOT NULL,
    credentials_digest TEXT NOT NULL,                          -- of the public keys
    plan_digest        TEXT NOT NULL,                          -- of manifest.json
    message_digest     TEXT NOT NULL,                          -- of message.json
    native_count       INTEGER NOT NULL CHECK (native_count >= 0),
    id_count           INTEGER NOT NULL CHECK (id_count >= 0),
    created_at         REAL NOT NULL,
    policies           TEXT NOT NULL CHECK (json_valid(policies)),   -- caps and overrides of the send
    schedule           TEXT NOT NULL CHECK (json_valid(schedule)),   -- when it sends
    max_unknown        REAL NOT NULL CHECK (max_unknown BETWEEN 0 AND 1),   -- share of unknown ids that stops it
    cancelled_at       REAL,
    stop_reason        TEXT CHECK (stop_reason IS NULL OR json_valid(stop_reason))   -- of the last worker that stopped
) STRICT;

CREATE TABLE run_location (
    number      INTEGER PRIMARY KEY CHECK (number = 1),
    marker      TEXT NOT NULL,                                 -- a file beside this one that a copy does not have
    fingerprint TEXT NOT NULL,                                 -- its inode and ctime
    folder      BLOB NOT NULL,                                 -- the path as the system encodes it
    host        TEXT NOT NULL,
    recorded_at REAL NOT NULL
) STRICT;

-- Ids [first, stop) of the plan that get the same message in the same window. Native requests are in the first part.
CREATE TABLE part (
    number   INTEGER PRIMARY KEY CHECK (number > 0),
    first    INTEGER NOT NULL CHECK (first >= 0),
    stop     INTEGER NOT NULL,
    variant  TEXT,                                             -- of the split
    language TEXT,                                             -- of the message, as a BCP 47 tag
    zone     TEXT,                                             -- time zone of the devices
    opens_at REAL,                                             -- none of its calls is delivered before; null: at once
    CHECK (first <= stop)
) STRICT;

CREATE TABLE worker (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    lock_file  TEXT NOT NULL UNIQUE,                           -- beside this one; locked while the worker lives
    pid        INTEGER NOT NULL,
    host       TEXT NOT NULL,
    started_at REAL NOT NULL,
    commits    INTEGER NOT NULL DEFAULT 0 CHECK (commits >= 0),   -- its transactions; a file beside this one counts, too
    ended_at   REAL
) STRICT;

CREATE TABLE handle (
    number     INTEGER PRIMARY KEY,
    value      TEXT NOT NULL,
    batch      INTEGER REFERENCES batch,                       -- the only batch that may use it, if it stands for ids
    body       INTEGER NOT NULL DEFAULT 0,                     -- number of the body of the message that it was made with
    max_uses   INTEGER NOT NULL CHECK (max_uses > 0),
    use_count  INTEGER NOT NULL DEFAULT 0 CHECK (use_count BETWEEN 0 AND max_uses),
    opened_at  REAL NOT NULL,
    expires_at REAL,
    closed_at  REAL
) STRICT;

CREATE TABLE vendor_key (
    number     INTEGER PRIMARY KEY,
    source     TEXT NOT NULL,                                  -- which call of the vendor gave it out
    value      TEXT NOT NULL UNIQUE,                           -- an idempotency key
    batch      INTEGER REFERENCES batch,                       -- the only batch that is sent with it
    drawn_at   REAL NOT NULL,
    drawn_boot REAL NOT NULL,                                  -- the same by the clock of the machine since its start
    boot_id    TEXT NOT NULL                                   -- that start
) STRICT;

CREATE INDEX vendor_key_unused ON vendor_key (source, number) WHERE batch IS NULL;
CREATE INDEX vendor_key_of_batch ON vendor_key (batch) WHERE batch IS NOT NULL;

CREATE TABLE batch (
    number       INTEGER PRIMARY KEY,
    parent       INTEGER REFERENCES batch,                     -- the rejected batch that this one is a piece of
    part         INTEGER NOT NULL REFERENCES part,
    native       INTEGER UNIQUE,
    first        INTEGER,
    stop         INTEGER,
    not_before   REAL,                                         -- it is not delivered before; null: at once
    at_vendor    INTEGER NOT NULL DEFAULT 0 CHECK (at_vendor IN (0, 1)),   -- the vendor has the call until that moment
    state        TEXT NOT NULL DEFAULT 'todo' CHECK (state IN (
        'todo', 'sent', 'accepted', 'rejected', 'in_doubt', 'withdrawn')),
    worker       INTEGER REFERENCES worker,                    -- the worker that claimed it, or had it last
    attempts     INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    lost_replies INTEGER NOT NULL DEFAULT 0 CHECK (lost_replies >= 0),   -- since the user chose to retry
    handle       INTEGER REFERENCES handle,
    sent_at      REAL,                                         -- of the last attempt
    sent_boot    REAL,                                         -- the same by the clock of the machine since its start
    boot_id      TEXT,                                         -- that start
    due_at       REAL,                                         -- the vendor delivers then; null: at once
    dedup_until  REAL,                                         -- the vendor drops repeats until this time
    dedup_until_boot REAL,                                     -- the same by that clock
    settled_at   REAL,
    withdrawn_at REAL,                                         -- when the vendor was asked to withdraw it, and did
    skipped_at   REAL,                                         -- the user chose to leave it in doubt
    doubtful_at  REAL,                                         -- of the first call in doubt that the user chose to retry
    message_id   TEXT,                                         -- the vendor's
    problem      TEXT CHECK (problem IS NULL OR json_valid(problem)),   -- the last one that the vendor reported
    CHECK ((native IS NULL) = (first IS NOT NULL) AND (native IS NULL) = (stop IS NOT NULL)),
    CHECK (native IS NULL OR (native >= 0 AND parent IS NULL)),
    CHECK (first IS NULL OR (first >= 0 AND first < stop)),
    CHECK (at_vendor = 0 OR not_before IS NOT NULL),
    CHECK ((state IN ('accepted', 'withdrawn')) = (message_id IS NOT NULL)),
    CHECK ((state IN ('accepted', 'rejected', 'in_doubt', 'withdrawn')) = (settled_at IS NOT NULL)),
    CHECK ((state = 'withdrawn') = (withdrawn_at IS NOT NULL)),
    CHECK (state IN ('todo', 'rejected') OR (attempts > 0 AND sent_at IS NOT NULL)),
    CHECK (state <> 'sent' OR worker IS NOT NULL),
    CHECK (state <> 'in_doubt' OR lost_replies > 0),
    CHECK (skipped_at IS NULL OR state = 'in_doubt')
) STRICT;

CREATE INDEX batch_unclaimed ON batch (number) WHERE worker IS NULL AND state = 'todo';
CREATE INDEX batch_unclaimed_piece ON batch (number) WHERE worker IS NULL AND state = 'todo' AND parent IS NOT NULL;
CREATE INDEX batch_pending ON batch (number) WHERE state IN ('todo', 'sent');
CREATE INDEX batch_in_doubt ON batch (number) WHERE state = 'in_doubt';
CREATE INDEX batch_claimed ON batch (worker) WHERE state IN ('todo', 'sent', 'in_doubt');
CREATE INDEX batch_parent ON batch (parent, first) WHERE parent IS NOT NULL;
CREATE INDEX batch_root ON batch (stop) WHERE parent IS NULL;

CREATE TABLE invalid_id (
    position INTEGER PRIMARY KEY CHECK (position >= 0),        -- among the ids of the plan
    id       TEXT NOT NULL,
    code     TEXT NOT NULL,                                    -- the vendor's reason, or that of a policy
    batch    INTEGER NOT NULL REFERENCES batch
) STRICT;

-- Batches that count: the pieces of a rejected batch replace it.
CREATE VIEW leaf_batch AS
SELECT * FROM batch WHERE NOT EXISTS (SELECT 1 FROM batch AS piece WHERE piece.parent = batch.number);

-- Parts are inserted side by side. ------------------------------------------------------------------------------------

CREATE TRIGGER part_is_contiguous BEFORE INSERT ON part
WHEN NEW.number <> (SELECT count(*) FROM part) + 1 OR NEW.first <> coalesce((SELECT max(stop) FROM part), 0)
  OR NEW.stop > (SELECT id_count FROM run)
BEGIN SELECT RAISE(ABORT, 'a part begins where the one before it stops'); END;

CREATE TRIGGER part_no_update BEFORE UPDATE ON part
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

CREATE TRIGGER part_no_delete BEFORE DELETE ON part
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

-- Batches are inserted as todo, side by side, and their pieces within them. -------------------------------------------

CREATE TRIGGER batch_insert_as_todo BEFORE INSERT ON batch
WHEN NEW.state <> 'todo' OR NEW.attempts <> 0 OR NEW.worker IS NOT NULL OR NEW.handle IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a batch is inserted as todo'); END;

CREATE TRIGGER batch_root_is_contiguous BEFORE INSERT ON batch
WHEN NEW.parent IS NULL AND NEW.first <> coalesce((SELECT max(stop) FROM batch WHERE parent IS NULL), 0)
BEGIN SELECT RAISE(ABORT, 'a batch begins where the one before it stops'); END;

CREATE TRIGGER batch_within_plan BEFORE INSERT ON batch
WHEN NEW.stop > (SELECT id_count FROM run) OR NEW.native >= (SELECT native_count FROM run)
BEGIN SELECT RAISE(ABORT, 'a batch is within the plan'); END;

CREATE TRIGGER batch_within_part BEFORE INSERT ON batch
WHEN NEW.first IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM part WHERE number = NEW.part AND first <= NEW.first AND NEW.stop <= stop)
BEGIN SELECT RAISE(ABORT, 'a batch is within its part'); END;

CREATE TRIGGER batch_piece_within_parent BEFORE INSERT ON batch
WHEN NEW.parent IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM batch AS parent_batch
    WHERE parent_batch.number = NEW.parent AND parent_batch.state = 'rejected'
      AND parent_batch.first <= NEW.first AND NEW.stop <= parent_batch.stop
      AND NEW.first >= coalesce((SELECT max(piece.stop) FROM batch AS piece WHERE piece.parent = parent_batch.number), 0)
)
BEGIN SELECT RAISE(ABORT, 'a piece lies in a rejected batch, behind the pieces before it'); END;

CREATE TRIGGER batch_identity_is_immutable
BEFORE UPDATE OF number, parent, part, native, first, stop, not_before ON batch
BEGIN SELECT RAISE(ABORT, 'the identity of a batch is immutable'); END;

CREATE TRIGGER batch_is_held_before_its_call BEFORE UPDATE OF at_vendor ON batch
WHEN NEW.at_vendor <> OLD.at_vendor AND (NEW.at_vendor = 1 OR OLD.state <> 'todo')
BEGIN SELECT RAISE(ABORT, 'only a call that was not made can be held instead'); END;

CREATE TRIGGER batch_no_delete BEFORE DELETE ON batch
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

-- The transitions, and no others. ------------------------------------------------------------------------------------

CREATE TRIGGER batch_settled_is_final BEFORE UPDATE ON batch
WHEN OLD.state IN ('rejected', 'withdrawn') OR (OLD.state = 'accepted' AND NOT (
    NEW.state = 'withdrawn' AND NEW.withdrawn_at < OLD.due_at AND NEW.due_at = OLD.due_at
    AND NEW.message_id = OLD.message_id AND NEW.settled_at = OLD.settled_at
) IS TRUE)
BEGIN SELECT RAISE(ABORT, 'a settled batch is final'); END;

CREATE TRIGGER batch_transitions BEFORE UPDATE OF state ON batch
WHEN (
       (OLD.state = 'todo'     AND NEW.state IN ('todo', 'sent', 'rejected'))
    OR (OLD.state = 'sent'     AND NEW.state IN ('accepted', 'in_doubt'))
    OR (OLD.state = 'sent'     AND NEW.state IN ('todo', 'rejected') AND OLD.lost_replies = 0)   -- else an earlier call may have been delivered
    OR (OLD.state = 'accepted' AND NEW.state = 'withdrawn')
    OR (OLD.state = 'in_doubt' AND NEW.state = 'in_doubt')
    OR (OLD.state = 'in_doubt' AND NEW.state = 'todo' AND OLD.worker IS NULL AND OLD.skipped_at IS NULL
        AND NEW.lost_replies = 0)
    OR (OLD.state = 'in_doubt' AND NEW.state = 'sent' AND OLD.skipped_at IS NULL
        AND NEW.sent_at BETWEEN OLD.sent_at AND OLD.dedup_until AND NEW.dedup_until = OLD.dedup_until
        AND NEW.sent_boot BETWEEN OLD.sent_boot AND OLD.dedup_until_boot AND NEW.dedup_until_boot = OLD.dedup_until_boot
        AND NEW.boot_id = OLD.boot_id)
) IS NOT TRUE   -- a window that is unknown is over
BEGIN SELECT RAISE(ABORT, 'illegal transition'); END;

CREATE TRIGGER batch_sent_by_claimant BEFORE UPDATE OF state ON batch
WHEN NEW.state = 'sent' AND (
    NEW.worker IS NOT OLD.worker
    OR NEW.attempts <> OLD.attempts + 1
    OR NOT EXISTS (SELECT 1 FROM worker WHERE number = NEW.worker AND ended_at IS NULL)
    OR (SELECT cancelled_at FROM run) IS NOT NULL
)
BEGIN SELECT RAISE(ABORT, 'a batch is sent by the living worker that claimed it, in a run that is not cancelled'); END;

CREATE TRIGGER batch_doubt_is_kept BEFORE UPDATE OF doubtful_at ON batch
WHEN OLD.doubtful_at IS NOT NULL AND NEW.doubtful_at IS NOT OLD.doubtful_at
BEGIN SELECT RAISE(ABORT, 'a call that may have been delivered is remembered'); END;

CREATE TRIGGER batch_claim_is_exclusive BEFORE UPDATE OF worker ON batch
WHEN OLD.worker IS NOT NULL AND NEW.worker IS NOT NULL AND OLD.worker <> NEW.worker
BEGIN SELECT RAISE(ABORT, 'another worker has claimed this batch'); END;

CREATE TRIGGER batch_claim_by_living_worker BEFORE UPDATE OF worker ON batch
WHEN NEW.worker IS NOT NULL AND NEW.worker IS NOT OLD.worker
    AND NOT EXISTS (SELECT 1 FROM worker WHERE number = NEW.worker AND ended_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'a batch is claimed by a living worker'); END;

-- Rows that are written once. ----------------------------------------------------------------------------------------

CREATE TRIGGER run_is_immutable
BEFORE UPDATE OF
    number, id, vendor, method, base_url, credentials_digest, plan_digest, message_digest, native_count, id_count,
    created_at, policies, schedule ON run
BEGIN SELECT RAISE(ABORT, 'the identity of a run is immutable'); END;

CREATE TRIGGER run_cancel_is_final BEFORE UPDATE OF cancelled_at ON run
WHEN OLD.cancelled_at IS NOT NULL AND NEW.cancelled_at IS NOT OLD.cancelled_at
BEGIN SELECT RAISE(ABORT, 'a cancelled run stays cancelled'); END;

CREATE TRIGGER run_no_delete BEFORE DELETE ON run
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

CREATE TRIGGER run_location_no_delete BEFORE DELETE ON run_location
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

CREATE TRIGGER worker_end_is_final BEFORE UPDATE OF ended_at ON worker
WHEN OLD.ended_at IS NOT NULL OR EXISTS (SELECT 1 FROM batch WHERE worker = OLD.number AND state = 'sent')
BEGIN SELECT RAISE(ABORT, 'a worker ends once, and leaves no batch as sent'); END;

CREATE TRIGGER invalid_id_within_batch BEFORE INSERT ON invalid_id
WHEN NOT EXISTS (SELECT 1 FROM batch WHERE number = NEW.batch AND first <= NEW.position AND NEW.position < stop)
BEGIN SELECT RAISE(ABORT, 'an invalid id is in the range of its batch'); END;

CREATE TRIGGER vendor_key_is_for_one_batch BEFORE UPDATE ON vendor_key
WHEN OLD.batch IS NOT NULL OR NEW.batch IS NULL OR NEW.number <> OLD.number OR NEW.source <> OLD.source
  OR NEW.value <> OLD.value OR NEW.drawn_at <> OLD.drawn_at OR NEW.drawn_boot <> OLD.drawn_boot
  OR NEW.boot_id <> OLD.boot_id
  OR NOT EXISTS (SELECT 1 FROM batch WHERE number = NEW.batch AND state = 'todo')   -- others keep the key they were sent with
BEGIN SELECT RAISE(ABORT, 'a key is given once, to a batch before its call'); END;

CREATE TRIGGER vendor_key_no_delete BEFORE DELETE ON vendor_key
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

CREATE TRIGGER invalid_id_no_delete BEFORE DELETE ON invalid_id
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

CREATE TRIGGER invalid_id_no_update BEFORE UPDATE ON invalid_id
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted or changed'); END;

PRAGMA user_version = 8;
