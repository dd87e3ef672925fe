package main

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
)

// timeUsage is what every time flag accepts.
const timeUsage = "RFC 3339, a date (00:00 UTC), integer nanoseconds, or -1h for an hour ago"

// timeForms says the same with examples.
const timeForms = "2026-01-31T12:00:00Z, 2026-01-31 (00:00 UTC), integer nanoseconds, or -1h, -7d for so long ago"

// timeFlag reads a moment as nanoseconds; given is false where the flag is absent.
func timeFlag(c *cli.Context, name string) (ns int64, given bool, err error) {
	text := c.String(name)
	if text == "" {
		return 0, false, nil
	}
	if ago, negative := strings.CutPrefix(text, "-"); negative {
		if d, err := config.ParseDuration(ago); err == nil {
			return time.Now().Add(-d).UnixNano(), true, nil
		}
	}
	parse, err := lineproto.ParseLayout("")
	if err != nil {
		return 0, false, err
	}
	if ns, err = parse(text); err != nil {
		return 0, false, usagef("--%s %q is no time: want %s", name, text, timeForms)
	}
	return ns, true, nil
}
