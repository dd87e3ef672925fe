package storage

import (
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

var (
	// ErrDamaged: what the disk gave back is not what was written. The replica must leave for quarantine; the reader
	// should ask another replica. A *DamageError says what is damaged.
	ErrDamaged = errors.New("shard is damaged")
	// ErrClosed: the shard was closed. Look the group up again.
	ErrClosed = errors.New("shard is closed")
	// ErrIdentity: the file belongs to another cluster, group or lineage, or has another window length. Do not use it.
	ErrIdentity = errors.New("shard belongs to something else")
	// ErrLayout, beside ErrIdentity: the file may well belong here, but another version of the layout was written. Use the
	// binary that wrote it.
	ErrLayout = errors.New("layout of another version")
	// ErrInUse: the file is open, here or in another process: in a process where bbolt has panicked over it, for as long as
	// that lives. Another file may take its name.
	ErrInUse = errors.New("file is in use")
	// ErrNotPinned: this replica holds no view of the cut (it restarted, the view expired, or too many views were
	// open). Ask another replica, or make another cut.
	ErrNotPinned = errors.New("cut is not pinned here")
	// ErrBadCommand: a log entry that this version cannot decode. It changed nothing after the point of failure, on
	// any replica alike.
	ErrBadCommand = errors.New("command cannot be decoded")
	// ErrStorage: the file could not be written; the outcome is unknown. The process should exit; Options.Fatal was called.
	ErrStorage = errors.New("shard cannot be written")
	// ErrInvalid: a name, value or size outside the limits. Fix the input; a *InvalidError says what and how.
	ErrInvalid = errors.New("invalid input")

	// ErrTooLarge: more than one transaction may take. Go the other way that the function names.
	ErrTooLarge = errors.New("too large for one transaction")

	errShort = errors.New("ends too early")
)

// DamageError says what is damaged. Structure: the file as a whole (it is not written any more); otherwise one leaf,
// which can be repaired in place.
type DamageError struct {
	Path      string
	Structure bool
	Leaf      digest.Leaf // where Structure is false
	Series    Series      // where Structure is false and the key could be read
	Err       error
	Stack     string // of the panic that showed the damage, if one did
}

func (e *DamageError) Error() string {
	if e.Structure {
		return fmt.Sprintf("%v: %s: structure: %v", ErrDamaged, e.Path, e.Err)
	}
	return fmt.Sprintf("%v: %s: window %d slot %d series %s: %v", ErrDamaged, e.Path, e.Leaf.Window, e.Leaf.Slot, e.Series, e.Err)
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

func (e *DamageError) Unwrap() error { return e.Err }

// InvalidError is input that is refused before it reaches the log.
type InvalidError struct {
	What   string // "database", "field", "batch", ...
	Value  string // as given, shortened to 64 bytes
	Reason string
	Hint   string // what would be accepted
}

func (e *InvalidError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s %s (%s)", e.What, e.Reason, e.Hint)
	}
	return fmt.Sprintf("%s %q %s (%s)", e.What, e.Value, e.Reason, e.Hint)
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }
