package lineproto

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// MaxLineBytes bounds one line: no point of a legal batch is longer.
const MaxLineBytes = 8 << 20

// The formats.
const (
	FormatLine   = "line"
	FormatCSV    = "csv"
	FormatNDJSON = "ndjson"
)

// ErrOptions is wrapped by every error of Open that the caller's options
// cause: a usage error.
var ErrOptions = errors.New("invalid options")

// Options say how the text is read. The zero value of a member means its
// default.
type Options struct {
	Format     string // default FormatLine
	Database   string
	Collection string // line protocol: "" takes the measurement

	DeviceTags   []string // line protocol; default DefaultDeviceTags, the first that a line has counts
	Device       string   // CSV, NDJSON: every point is of this device
	DeviceColumn string   // CSV, NDJSON: the device's column; default "id"
	TimeColumn   string   // CSV, NDJSON: the time's column; default "time"
	TimeLayout   string   // CSV, NDJSON: see ParseLayout
	Precision    string   // line protocol: unit of the timestamps, see ParsePrecision
	Limits       storage.Limits
}

// DefaultDeviceTags are the tags that name the device, in order.
var DefaultDeviceTags = []string{"device_id", "host"}

// Record is one point that was read. The point's Time is api.NoTime where the
// line gives none.
type Record struct {
	Line  int64 // on which it begins, from 1
	Point storage.Point
}

// LineError says why a line was refused. Reading goes on behind it.
type LineError struct {
	Line int64
	Err  error
}

// Error gives "line 3: why".
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives the reason.
func (e *LineError) Unwrap() error { return e.Err }

// Reader gives the points of a text, one a call. The error is a *LineError
// for a refused line, io.EOF at the end, or what ended the input.
type Reader interface {
	Read() (Record, error)
}

// Open makes a reader of the options' format.
func Open(r io.Reader, o Options) (Reader, error) {
	o.Limits = o.Limits.WithDefaults()
	if err := o.Check(); err != nil {
		return nil, err
	}
	switch o.Format {
	case FormatCSV:
		return newCSV(r, o)
	case FormatNDJSON:
		return newNDJSON(r, o)
	}
	return newInflux(r, o)
}

// Check refuses options that no line could be read with.
func (o *Options) Check() error {
	switch o.Format {
	case "", FormatLine:
		if o.Device != "" || o.DeviceColumn != "" || o.TimeColumn != "" || o.TimeLayout != "" {
			return fmt.Errorf("%w: device, device column, time column and time layout are for csv and ndjson", ErrOptions)
		}
	case FormatCSV, FormatNDJSON:
		if len(o.DeviceTags) > 0 || o.Precision != "" {
			return fmt.Errorf("%w: device tag and precision are for line protocol; %s has a device column, a time column and a time layout", ErrOptions, o.Format)
		}
	default:
		return fmt.Errorf("%w: format %q (want %s)", ErrOptions, o.Format,
			strings.Join([]string{FormatLine, FormatCSV, FormatNDJSON}, ", "))
	}
	if o.Device != "" && o.DeviceColumn != "" {
		return fmt.Errorf("%w: a device column and a fixed device exclude each other", ErrOptions)
	}
	for _, name := range []struct {
		text  string
		check func(string) error
	}{{o.Database, storage.ValidateDatabase}, {o.Collection, storage.ValidateCollection}, {o.Device, storage.ValidateDevice}} {
		if name.text == "" {
			continue
		}
		if err := name.check(name.text); err != nil {
			return fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	return nil
}

// checked validates a point that was read; its line is refused otherwise.
func checked(line int64, p storage.Point, l storage.Limits) (Record, error) {
	if err := storage.ValidatePoint(&p, l); err != nil {
		return Record{}, &LineError{line, err}
	}
	return Record{Line: line, Point: p}, nil
}

func refuse(line int64, format string, args ...any) (Record, error) {
	return Record{}, &LineError{line, fmt.Errorf(format, args...)}
}

// noTime is the time of a point that has none.
const noTime = api.NoTime
