-- Ledger of the calls of one sync of tags. It is replaced when the next sync of the application begins.
--
--   todo ───▶ sent ───▶ done         the vendor has made the changes; ids that it does not know are in unknown_id
--    ▲         │ ╲────▶ rejected     the vendor refuses the call, and has changed nothing
--    ╰─────────╯                     the vendor has refused it for now, and has changed nothing
--
-- A call in state `sent` may have changed tags. Its content is not stored: calls are a function of the state of the
-- application, which is written before, and `packing` is the digest of them.

CREATE TABLE sync (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    number         INTEGER NOT NULL,                       -- of the syncs of the application
    packing        TEXT NOT NULL,                          -- digest of the calls
    vendor         TEXT NOT NULL,
    host           TEXT NOT NULL,                          -- of pushes
    request        TEXT NOT NULL CHECK (json_valid(request)),   -- options of the command, for `audience resume`
    pair_count     INTEGER NOT NULL,                       -- tags to set and to remove
    timeout        REAL NOT NULL CHECK (timeout > 0),      -- seconds until a call is given up
    boot_id        TEXT NOT NULL,                          -- start of the machine, to which the boot clock belongs
    late_until     REAL,                                   -- a call of an earlier sync may arrive up to then, by the boot clock
    created_at     REAL NOT NULL,
    ended_at       REAL,
    cancelled_at   REAL,
    stop_problem   TEXT CHECK (stop_problem IS NULL OR json_valid(stop_problem))
) STRICT;

CREATE TABLE call (
    number     INTEGER PRIMARY KEY,                        -- from 0, in the order of the packing
    state      TEXT NOT NULL DEFAULT 'todo' CHECK (state IN ('todo', 'sent', 'done', 'rejected')),
    attempts   INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    sent_boot  REAL,                                       -- of the last attempt, by the boot clock
    lost_boot  REAL,                                       -- of the last attempt whose reply was lost
    settled_at REAL,
    problem    TEXT CHECK (problem IS NULL OR json_valid(problem)),   -- the last one that the vendor reported
    CHECK (state IN ('todo', 'rejected') OR attempts > 0 OR settled_at IS NOT NULL),
    CHECK (state <> 'sent' OR sent_boot IS NOT NULL)
) STRICT;

CREATE INDEX call_unsettled ON call (number) WHERE state IN ('todo', 'sent');
CREATE INDEX call_lost ON call (lost_boot) WHERE lost_boot IS NOT NULL;

CREATE TABLE unknown_id (
    position INTEGER PRIMARY KEY CHECK (position >= 0),    -- in the ids of the changes
    call     INTEGER NOT NULL REFERENCES call
) STRICT;

CREATE TRIGGER call_transitions BEFORE UPDATE OF state ON call
WHEN NOT (
       (OLD.state = 'todo' AND NEW.state IN ('sent', 'done'))   -- done without a call: the vendor knows none of its ids
    OR (OLD.state = 'sent' AND NEW.state IN ('sent', 'done'))
    OR (OLD.state = 'sent' AND NEW.state IN ('todo', 'rejected') AND NEW.lost_boot IS NULL)   -- else it may be late
)
BEGIN SELECT RAISE(ABORT, 'illegal transition'); END;

CREATE TRIGGER call_sent_while_going_on BEFORE UPDATE OF state ON call
WHEN NEW.state = 'sent' AND NEW.attempts > OLD.attempts AND (SELECT cancelled_at IS NOT NULL OR ended_at IS NOT NULL FROM sync)
BEGIN SELECT RAISE(ABORT, 'no call is made for a sync that was cancelled or has ended'); END;

CREATE TRIGGER call_loss_is_kept BEFORE UPDATE OF lost_boot ON call
WHEN OLD.lost_boot IS NOT NULL AND (NEW.lost_boot IS NULL OR NEW.lost_boot < OLD.lost_boot)
BEGIN SELECT RAISE(ABORT, 'a lost reply is remembered'); END;

CREATE TRIGGER call_no_delete BEFORE DELETE ON call
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted'); END;

CREATE TRIGGER unknown_id_no_delete BEFORE DELETE ON unknown_id
BEGIN SELECT RAISE(ABORT, 'ledger rows are never deleted'); END;

PRAGMA user_version = 1;
