-- The ledger of a run: what is to be sent, what was, and how it ended.
--
-- A batch is one call: a native request by its number, or the ids [first, stop) of those that the plan lists.
-- Ids themselves stand in the request files, and here only where the vendor did not know them.
-- Moments are seconds since 1970, UTC.
--
--              ┌──────────── nobody was told ────────────┐
--              ▼                                         │
--   insert → todo ──────────────▶ sent ──────────────────┴─▶ accepted, or rejected: its parts, if any, are new batches
--              ▲                  ▲ │
--              │                  │ ▼  the reply was lost
--              └─ the user ──── in_doubt
--                 says so       (back to sent by itself only while the vendor drops repeats)

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
    cancelled_at       REAL,
    stop_reason        TEXT CHECK (stop_reason IS NULL OR json_valid(stop_reason))   -- of the last worker that stopped
) STRICT;

CREATE TABLE place (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    mark   TEXT NOT NULL,                                      -- a file beside this one, by which a copy is told
    trace  TEXT NOT NULL,
    folder BLOB NOT NULL,                                      -- as the system names it
    host   TEXT NOT NULL,
    since  REAL NOT NULL
) STRICT;

CREATE TABLE worker (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    lock    TEXT NOT NULL UNIQUE,                              -- a file beside this one, locked for as long as it lives
    process INTEGER NOT NULL,
    host    TEXT NOT NULL,
    begun   REAL NOT NULL,
    ended   REAL
) STRICT;

CREATE TABLE handle (
    number INTEGER PRIMARY KEY,
    text   TEXT NOT NULL,
    batch  INTEGER REFERENCES batch,                           -- the only one that may use it, where its ids are in it
    most   INTEGER NOT NULL CHECK (most > 0),
    used   INTEGER NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND most),
    opened REAL NOT NULL,
    until  REAL,
    closed REAL
) STRICT;

CREATE TABLE batch (
    number       INTEGER PRIMARY KEY,
    parent       INTEGER REFERENCES batch,                     -- it was rejected, and this is a part of it
    native       INTEGER UNIQUE,
    first        INTEGER,
    stop         INTEGER,
    state        TEXT NOT NULL DEFAULT 'todo' CHECK (state IN ('todo', 'sent', 'accepted', 'rejected', 'in_doubt')),
    worker       INTEGER REFERENCES worker,                    -- who has claimed it, or had it last
    tries        INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    doubts       INTEGER NOT NULL DEFAULT 0 CHECK (doubts >= 0),   -- replies that were lost since the user said retry
    handle       INTEGER REFERENCES handle,
    sent         REAL,                                         -- the last time
    repeat_until REAL,                                         -- until when the vendor drops what it has had
    settled      REAL,
    skipped      REAL,                                         -- the user has settled that it stays in doubt
    message      TEXT,                                         -- the vendor's id of it
    problem      TEXT CHECK (problem IS NULL OR json_valid(problem)),   -- the vendor's last words, if it had any
    CHECK ((native IS NULL) = (first IS NOT NULL) AND (native IS NULL) = (stop IS NOT NULL)),
    CHECK (native IS NULL OR (native >= 0 AND parent IS NULL)),
    CHECK (first IS NULL OR (first >= 0 AND first < stop)),
    CHECK ((state = 'accepted') = (message IS NOT NULL)),
    CHECK ((state IN ('accepted', 'rejected', 'in_doubt')) = (settled IS NOT NULL)),
    CHECK (state IN ('todo', 'rejected') OR (tries > 0 AND sent IS NOT NULL)),
    CHECK (state <> 'sent' OR worker IS NOT NULL),
    CHECK (state <> 'in_doubt' OR doubts > 0),
    CHECK (skipped IS NULL OR state = 'in_doubt')
) STRICT;

CREATE INDEX batch_free ON batch (number) WHERE worker IS NULL AND state = 'todo';
CREATE INDEX batch_going ON batch (number) WHERE state IN ('todo', 'sent');
CREATE INDEX batch_doubt ON batch (number) WHERE state = 'in_doubt';
CREATE INDEX batch_held ON batch (worker) WHERE state IN ('todo', 'sent', 'in_doubt');
CREATE INDEX batch_parent ON batch (parent, first) WHERE parent IS NOT NULL;
CREATE INDEX batch_root ON batch (stop) WHERE parent IS NULL;

CREATE TABLE bad (
    position INTEGER PRIMARY KEY CHECK (position >= 0),        -- in the plan's ids
    id       TEXT NOT NULL,
    code     TEXT NOT NULL,                                    -- what the vendor said of it
    batch    INTEGER NOT NULL REFERENCES batch
) STRICT;

-- Batches are born as todo, side by side, and their parts within them. ------------------------------------------------

CREATE TRIGGER batch_born BEFORE INSERT ON batch
WHEN NEW.state <> 'todo' OR NEW.tries <> 0 OR NEW.worker IS NOT NULL OR NEW.handle IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a batch is born as todo'); END;

CREATE TRIGGER batch_root_beside_root BEFORE INSERT ON batch
WHEN NEW.parent IS NULL AND NEW.first <> coalesce((SELECT max(stop) FROM batch WHERE parent IS NULL), 0)
BEGIN SELECT RAISE(ABORT, 'a batch begins where the one before it stops'); END;

CREATE TRIGGER batch_within_plan BEFORE INSERT ON batch
WHEN NEW.stop > (SELECT id_count FROM run) OR NEW.native >= (SELECT native_count FROM run)
BEGIN SELECT RAISE(ABORT, 'a batch is a part of the plan'); END;

CREATE TRIGGER batch_part BEFORE INSERT ON batch
WHEN NEW.parent IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM batch AS whole
    WHERE whole.number = NEW.parent AND whole.state = 'rejected' AND whole.first <= NEW.first AND NEW.stop <= whole.stop
      AND NEW.first >= coalesce((SELECT max(part.stop) FROM batch AS part WHERE part.parent = whole.number), 0)
)
BEGIN SELECT RAISE(ABORT, 'a part lies in a rejected batch, behind the parts before it'); END;

CREATE TRIGGER batch_stays BEFORE UPDATE OF number, parent, native, first, stop ON batch
BEGIN SELECT RAISE(ABORT, 'what a batch is does not change'); END;

CREATE TRIGGER batch_is_kept BEFORE DELETE ON batch
BEGIN SELECT RAISE(ABORT, 'a ledger forgets nothing'); END;

-- The transitions, and no others. ------------------------------------------------------------------------------------

CREATE TRIGGER batch_is_settled BEFORE UPDATE ON batch
WHEN OLD.state IN ('accepted', 'rejected')
BEGIN SELECT RAISE(ABORT, 'what is settled stays so'); END;

CREATE TRIGGER batch_moves BEFORE UPDATE OF state ON batch
WHEN NOT (
       (OLD.state = 'todo'     AND NEW.state IN ('todo', 'sent', 'rejected'))
    OR (OLD.state = 'sent'     AND NEW.state IN ('accepted', 'in_doubt'))
    OR (OLD.state = 'sent'     AND NEW.state IN ('todo', 'rejected') AND OLD.doubts = 0)   -- else a call before it may have told
    OR (OLD.state = 'in_doubt' AND NEW.state = 'in_doubt')
    OR (OLD.state = 'in_doubt' AND NEW.state = 'todo' AND OLD.worker IS NULL AND OLD.skipped IS NULL
        AND NEW.doubts = 0)
    OR (OLD.state = 'in_doubt' AND NEW.state = 'sent' AND OLD.skipped IS NULL
        AND NEW.sent >= OLD.sent AND NEW.sent < OLD.repeat_until AND NEW.repeat_until = OLD.repeat_until)
)
BEGIN SELECT RAISE(ABORT, 'illegal transition'); END;

CREATE TRIGGER batch_is_sent BEFORE UPDATE OF state ON batch
WHEN NEW.state = 'sent' AND (
    NEW.worker IS NOT OLD.worker
    OR NEW.tries <> OLD.tries + 1
    OR NOT EXISTS (SELECT 1 FROM worker WHERE number = NEW.worker AND ended IS NULL)
    OR (SELECT cancelled_at FROM run) IS NOT NULL
)
BEGIN SELECT RAISE(ABORT, 'a batch is sent by the living worker that has claimed it, in a run that goes on'); END;

CREATE TRIGGER batch_is_claimed BEFORE UPDATE OF worker ON batch
WHEN OLD.worker IS NOT NULL AND NEW.worker IS NOT NULL AND OLD.worker <> NEW.worker
BEGIN SELECT RAISE(ABORT, 'another worker has claimed this batch'); END;

-- What is written once. ----------------------------------------------------------------------------------------------

CREATE TRIGGER run_stays
BEFORE UPDATE OF
    number, id, vendor, method, base_url, credentials_digest, plan_digest, message_digest, native_count, id_count, created_at ON run
BEGIN SELECT RAISE(ABORT, 'what a run is does not change'); END;

CREATE TRIGGER run_stays_cancelled BEFORE UPDATE OF cancelled_at ON run
WHEN OLD.cancelled_at IS NOT NULL AND NEW.cancelled_at IS NOT OLD.cancelled_at
BEGIN SELECT RAISE(ABORT, 'a cancelled run stays so'); END;

CREATE TRIGGER run_is_kept BEFORE DELETE ON run
BEGIN SELECT RAISE(ABORT, 'a ledger forgets nothing'); END;

CREATE TRIGGER place_is_kept BEFORE DELETE ON place
BEGIN SELECT RAISE(ABORT, 'a ledger forgets nothing'); END;

CREATE TRIGGER worker_is_dead BEFORE UPDATE OF ended ON worker
WHEN OLD.ended IS NOT NULL OR EXISTS (SELECT 1 FROM batch WHERE worker = OLD.number AND state = 'sent')
BEGIN SELECT RAISE(ABORT, 'a worker ends once, and leaves nothing as sent'); END;

CREATE TRIGGER bad_within_batch BEFORE INSERT ON bad
WHEN NOT EXISTS (SELECT 1 FROM batch WHERE number = NEW.batch AND first <= NEW.position AND NEW.position < stop)
BEGIN SELECT RAISE(ABORT, 'a bad id is one of its batch'); END;

CREATE TRIGGER bad_is_kept BEFORE DELETE ON bad
BEGIN SELECT RAISE(ABORT, 'a ledger forgets nothing'); END;

CREATE TRIGGER bad_stays BEFORE UPDATE ON bad
BEGIN SELECT RAISE(ABORT, 'a ledger forgets nothing'); END;

PRAGMA user_version = 3;
