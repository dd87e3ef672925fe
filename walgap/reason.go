package walgap

import (
	"fmt"
	"strconv"
)

// The forms of a verdict, each with its line for the operator.

func refuse(row Row, format string, args ...any) Verdict {
	reason := fmt.Sprintf(format, args...)
	return Verdict{Row: row, Reason: reason, BlockedBy: "an operator: " + reason}
}

func wait(row Row, reason, blockedBy string) Verdict {
	return Verdict{Row: row, Reason: reason, BlockedBy: blockedBy, Wait: true}
}

func (g *gap) full(row Row, format string, args ...any) Verdict {
	whole := g.leader.Bytes
	return Verdict{Decided: true, Kind: Full, Row: row, Reason: fmt.Sprintf(format, args...),
		Bytes: whole, Seconds: g.rates.copySeconds(whole, whole)}
}

// delta is a full copy where there are no sound data to compare with.
func (g *gap) delta(row Row, format string, args ...any) Verdict {
	if !g.sound {
		return g.full(row, format, args...)
	}
	moved := g.deltaBytes()
	return Verdict{Decided: true, Kind: Delta, Row: row, Reason: fmt.Sprintf(format, args...),
		Bytes: moved, Seconds: g.rates.copySeconds(moved, g.leader.Bytes)}
}

func (g *gap) replay(row Row, from uint64, format string, args ...any) Verdict {
	n := g.led.last + 1 - from
	bytes := g.replayBytes(n)
	return Verdict{Decided: true, Kind: Replay, Row: row, Reason: fmt.Sprintf(format, args...),
		From: from, Entries: n, Bytes: bytes, Seconds: g.rates.replaySeconds(n, bytes)}
}

// hole says which entries nobody holds any more.
func (g *gap) hole() string {
	if g.held.last < g.led.first && g.held.last+1 < g.led.first {
		return fmt.Sprintf("its log ends at %s, and the leader's begins at %s: %s between them are gone",
			count(g.held.last), count(g.led.first), entries(g.led.first-g.held.last-1))
	}
	return fmt.Sprintf("nothing that it holds from %s to %s is known to be the leader's, whose log holds %s to %s",
		count(g.target.Applied.Index), count(g.held.last), count(g.led.first), count(g.led.last))
}

// lacks names the entries from..to. None are missing where the replica has all of them and a tail that nobody committed.
func lacks(from, to uint64) string {
	n := to + 1 - from
	if n == 0 {
		return "nothing of the leader's is missing, and what follows " + count(to) + " gives way to it"
	}
	if n == 1 {
		return "entry " + count(from) + " is missing, and the leader's log still holds it"
	}
	return entries(n) + " are missing, " + count(from) + " to " + count(to) + ", and the leader's log still holds them"
}

// count writes a number with a comma at every thousand.
func count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func entries(n uint64) string { return plural(n, "entry", "entries") }

func points(n uint64) string { return plural(n, "point", "points") }

func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

func at(p Position) string {
	if p == (Position{}) {
		return "nothing"
	}
	return fmt.Sprintf("%s of term %d", count(p.Index), p.Term)
}

func size(bytes uint64) string {
	const step = 1024
	if bytes < step {
		return plural(bytes, "byte", "bytes")
	}
	value, unit := float64(bytes)/step, 0
	units := [...]string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for ; value >= step; unit++ {
		value /= step
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.1f s", s)
}

func name(id string) string {
	if id == "" {
		return "(none)"
	}
	return id
}

func orUnknown(why string) string {
	if why == "" {
		return "no reason known"
	}
	return why
}

func someData(has bool) string {
	if has {
		return "data"
	}
	return "no data"
}
