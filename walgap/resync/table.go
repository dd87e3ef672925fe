package resync

import (
	"fmt"
	"slices"
	"time"
)

// Info is what is fixed about a stage.
type Info struct {
	Stage Stage
	// Idle is how long the stage may go without progress before it is broken. With what a stage can progress being
	// finite (leaves of one cut, entries up to one index), this makes each stage end.
	Idle time.Duration
	// Points are where the driver may die, in order: Hooks.Step is called with each.
	Points []string
}

// Stages is the table of stages.
var Stages = []Info{
	{Plan, 5 * time.Minute, []string{"asked", "judged"}},
	{Hold, 2 * time.Minute, []string{"taking", "held"}},
	{Cut, 5 * time.Minute, []string{"named", "pinned"}},
	{Explore, 10 * time.Minute, []string{"listed", "compared"}},
	{Fetch, 5 * time.Minute, []string{"opened", "fetching", "gathered"}},
	{Install, 10 * time.Minute, []string{"challenged", "proven", "recorded", "switched"}},
	{Replay, 10 * time.Minute, []string{"watching", "caught up"}},
	{Promote, 10 * time.Minute, []string{"watching", "counted"}},
	{Ending, leaseTTL + leaseSlack + time.Minute, []string{"decided", "released", "leases ended", "told", "swept"}},
}

// Transition is one allowed change of stage.
type Transition struct {
	From Stage
	On   Outcome
	To   Stage
	End  Status // of the job, where To is Ending
	// Attempt: the change costs one.
	Attempt bool
}

// Transitions are all of them. A job that is to change its stage in another way has a defect: it fails.
var Transitions = slices.Concat(
	[]Transition{
		{From: Plan, On: Passed, To: Hold},
		{From: Plan, On: Bridgeable, To: Replay},
		{From: Plan, On: Equal, To: Promote},
		{From: Plan, On: Compared, To: Explore},
		{From: Plan, On: Priced, To: Ending, End: Done},
		{From: Plan, On: Refused, To: Ending, End: Failed},
		{From: Hold, On: Passed, To: Cut},
		{From: Cut, On: Passed, To: Explore},
		{From: Explore, On: Passed, To: Fetch},
		{From: Explore, On: Priced, To: Ending, End: Done},
		{From: Explore, On: ViewLost, To: Cut},
		{From: Fetch, On: Passed, To: Install},
		{From: Fetch, On: ViewLost, To: Cut},
		{From: Install, On: Passed, To: Replay},
		{From: Install, On: ViewLost, To: Cut},
		{From: Install, On: KnowsMore, To: Plan},
		{From: Install, On: Unproven, To: Fetch, Attempt: true},
		{From: Replay, On: Passed, To: Promote},
		{From: Promote, On: Passed, To: Ending, End: Done},
		{From: Ending, On: Passed, To: Ended},
	},
	fromEach([]Stage{Hold, Cut, Explore, Fetch, Install, Replay, Promote}, Transition{On: Moved, To: Plan}),
	fromEach([]Stage{Plan, Hold, Cut, Explore, Fetch, Install, Replay}, Transition{On: NoRoom, To: Ending, End: Failed}),
	fromEach([]Stage{Plan, Hold, Cut, Explore, Fetch, Install, Replay, Promote},
		Transition{On: Broken, To: Plan, Attempt: true},
		Transition{On: Exhausted, To: Ending, End: Failed},
		Transition{On: Cancel, To: Ending, End: Cancelled},
	),
)

// fromEach repeats rows for each stage.
func fromEach(stages []Stage, rows ...Transition) (all []Transition) {
	for _, s := range stages {
		for _, row := range rows {
			row.From = s
			all = append(all, row)
		}
	}
	return all
}

// Next is the transition that a stage's outcome leads to.
func Next(from Stage, on Outcome) (Transition, error) {
	for _, t := range Transitions {
		if t.From == from && t.On == on {
			return t, nil
		}
	}
	return Transition{}, fmt.Errorf("%w: %s after %s", ErrTransition, on, from)
}

// infoOf is the row of a stage.
func infoOf(s Stage) Info {
	for _, i := range Stages {
		if i.Stage == s {
			return i
		}
	}
	return Info{Stage: s}
}
