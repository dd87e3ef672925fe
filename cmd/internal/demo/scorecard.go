package demo

import (
	"fmt"
	"time"
)

// check is one thing that had to hold.
type check struct {
	what   string
	held   bool
	detail string
}

// scorecard holds every check.
type scorecard struct {
	say    *narrator
	checks []check
}

// check notes whether something held, and tells it.
func (s *scorecard) check(what string, held bool, format string, args ...any) {
	c := check{what, held, fmt.Sprintf(format, args...)}
	s.checks = append(s.checks, c)
	s.say.mark(held, c.what+": "+c.detail)
}

// held reports whether there were checks and each of them held.
func (s *scorecard) held() bool {
	for _, c := range s.checks {
		if !c.held {
			return false
		}
	}
	return len(s.checks) > 0
}

// print writes the table of all checks.
func (s *scorecard) print() {
	width, widest := 0, 0
	for _, c := range s.checks {
		width, widest = max(width, len([]rune(c.what))), max(widest, len([]rune(c.detail)))
	}
	held := 0
	s.say.end()
	fmt.Fprintln(s.say.out)
	s.say.rule(8 + width + widest)
	for _, c := range s.checks {
		sign := s.say.paint(green, "ok  ")
		if c.held {
			held++
		} else {
			sign = s.say.paint(red, "FAIL")
		}
		fmt.Fprintf(s.say.out, "  %s %-*s  %s\n", sign, width, c.what, c.detail)
	}
	s.say.rule(8 + width + widest)
	fmt.Fprintf(s.say.out, "  %d of %d checks held, %s\n", held, len(s.checks), seconds(time.Since(s.say.began)))
}
