package lineproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ndjson reads one JSON point a line. Blank lines are skipped.
type ndjson struct {
	lines  *lines
	points *jsonPoints
	o      Options
}

func newNDJSON(r io.Reader, o Options) (Reader, error) {
	if o.Collection == "" {
		return nil, fmt.Errorf("%w: ndjson needs a collection", ErrOptions)
	}
	points := newJSONPoints(o.Database, o.Collection)
	if o.Device != "" {
		points.series.Device = o.Device
		points.deviceKey = ""
	} else if o.DeviceColumn != "" {
		points.deviceKey = o.DeviceColumn
	}
	if o.TimeColumn != "" {
		points.timeKey = o.TimeColumn
	}
	var err error
	if points.parseTime, err = ParseLayout(o.TimeLayout); err != nil {
		return nil, err
	}
	return &ndjson{lines: newLines(r), points: points, o: o}, nil
}

// Read gives the next point.
func (n *ndjson) Read() (Record, error) {
	for {
		line, err := n.lines.next()
		no := n.lines.no
		switch {
		case errors.Is(err, errTooLong):
			return refuse(no, "%w", err)
		case err != nil:
			return Record{}, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		n.points.b, n.points.i = line, 0
		p, err := n.points.point()
		if err == nil {
			err = n.points.end()
		}
		if err != nil {
			return Record{}, &LineError{no, err}
		}
		return checked(no, p, n.o.Limits)
	}
}
