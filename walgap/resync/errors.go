package resync

import "errors"

var (
	// ErrCancelled: an operator ended the job. The target is as it was before, unless the result says installed.
	ErrCancelled = errors.New("cancelled")
	// ErrRefused: asking again gives the same answer until an operator did something; the text says what.
	ErrRefused = errors.New("refused")
	// ErrMoved: the leader, the lineage or the epoch is another than the one that the job began with, or the job's
	// lease is gone. Plan again; leaves that were fetched still count.
	ErrMoved = errors.New("the leader that answered at plan answers no more")
	// ErrKnowsMore: the target's log holds more than the cut. The old instance runs again; plan again.
	ErrKnowsMore = errors.New("the log of the target holds more than the cut")
	// ErrUnproven: the bytes on disk are not those of the cut. Nothing was replaced.
	ErrUnproven = errors.New("proof failed")
	// ErrNoRoom: the target's disk has no room for the copy. Free some, or raise storage.disk_reserve's disk.
	ErrNoRoom = errors.New("no room on the disk of the target")
	// ErrAborted: a cut was given up because it would have paused writes for longer than allowed. Try again later.
	ErrAborted = errors.New("the cut would have paused writes for longer than max-pause")
	// ErrBusy: the leader does the same for another job just now. Try again later.
	ErrBusy = errors.New("the leader is busy with another job of this group")
	// ErrNotLeader: whoever was asked does not lead the group. Ask the one who does.
	ErrNotLeader = errors.New("does not lead the group")
	// ErrLeads: the target leads the group, and whoever leads copies from nobody. It has to hand over first.
	ErrLeads = errors.New("the target leads the group")
	// ErrWire: a message that this version cannot read. Nothing was done.
	ErrWire = errors.New("message cannot be read")
	// ErrState: the job's state on disk cannot be read. Remove the staging and start another job.
	ErrState = errors.New("job state cannot be read")
	// ErrTransition: a change of stage that Transitions does not have. A defect: report it.
	ErrTransition = errors.New("change of stage is not allowed")
	// ErrRunning: a job of this group runs on this node already. Wait for it, or cancel it.
	ErrRunning = errors.New("a resync of this group runs already")

	errStuck          = errors.New("no progress")
	errUnprovenLeaves = errors.New("leaves on disk are not those of the cut")
	errPending        = errors.New("not ready yet")
)
