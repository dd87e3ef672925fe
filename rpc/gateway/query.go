package gateway

import (
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// MaxDevices bounds the devices that one query names.
const MaxDevices = 10_000

// Query is a read of one collection.
type Query struct {
	Database, Collection string
	Devices              []string // none: all of the collection
	From, To             int64    // ns, To exclusive; storage.MinTime and storage.NoEnd for all
	Fields               []string // none: all
	Limit                int      // rows of each device, of buckets with an aggregation; 0: all
	Descending           bool
	Consistency          pb.Consistency
	MaxStaleness         time.Duration // of a stale read; 0: any age
	Aggregation          pb.Aggregation
	Every                time.Duration // length of a bucket; 0: one over the range
}

// Rows takes some rows of one device, in the order that was asked for:
// descending queries give descending times. The rows of a device come in a
// row; the columns are the taker's to keep.
type Rows func(device string, c *blocks.Columns) error

// ParseConsistency reads the name of a level; "" is linearizable.
func ParseConsistency(s string) (pb.Consistency, error) {
	switch s {
	case "", "linearizable":
		return pb.Consistency_LINEARIZABLE, nil
	case "leader":
		return pb.Consistency_LEADER, nil
	case "stale":
		return pb.Consistency_STALE, nil
	}
	return 0, api.E(api.InvalidArgument, "linearizable, leader or stale", "consistency %q is not known", s)
}

// ParseAggregation reads the name of an aggregate; "" is none.
func ParseAggregation(s string) (pb.Aggregation, error) {
	if s == "" {
		return pb.Aggregation_NONE, nil
	}
	if n, ok := pb.Aggregation_value[strings.ToUpper(s)]; ok && n != 0 && s == strings.ToLower(s) {
		return pb.Aggregation(n), nil
	}
	return 0, api.E(api.InvalidArgument, "mean, min, max, sum, count, first or last", "aggregation %q is not known", s)
}

// validate checks the query. A device or field that is named twice is meant
// once: it stays at its first place.
func (q *Query) validate() error {
	if err := storage.ValidateDatabase(q.Database); err != nil {
		return invalid(err)
	}
	if err := storage.ValidateCollection(q.Collection); err != nil {
		return invalid(err)
	}
	q.Devices, q.Fields = distinct(q.Devices), distinct(q.Fields)
	if len(q.Devices) > MaxDevices {
		return api.E(api.InvalidArgument, "ask for all devices, or in several queries", "%d ids, at most %d are allowed", len(q.Devices), MaxDevices)
	}
	for _, device := range q.Devices {
		if err := storage.ValidateDevice(device); err != nil {
			return invalid(err)
		}
	}
	for _, field := range q.Fields {
		if err := storage.ValidateField(field); err != nil {
			return invalid(err)
		}
	}
	switch {
	case q.From > q.To:
		return api.E(api.InvalidArgument, "start_time is inclusive, end_time exclusive", "the start lies behind the end")
	case q.Limit < 0:
		return api.E(api.InvalidArgument, "leave it out for no limit", "the limit is negative")
	case q.Every < 0:
		return api.E(api.InvalidArgument, "a duration such as 1h", "the interval is negative")
	case q.Every > 0 && q.Aggregation == pb.Aggregation_NONE:
		return api.E(api.InvalidArgument, "name one: mean, min, max, sum, count, first, last", "an interval needs an aggregation")
	case q.MaxStaleness < 0:
		return api.E(api.InvalidArgument, "a duration such as 5s", "max_staleness is negative")
	case q.MaxStaleness > 0 && q.Consistency != pb.Consistency_STALE:
		return api.E(api.InvalidArgument, "use consistency stale", "max_staleness is for stale reads")
	}
	return nil
}

// message is the query as it travels to another node.
func (q *Query) message() *pb.QueryRequest {
	staleness := uint32(min(q.MaxStaleness.Milliseconds(), 1<<32-1))
	if q.MaxStaleness > 0 {
		staleness = max(staleness, 1) // 0 means any age
	}
	return &pb.QueryRequest{
		Database: q.Database, Collection: q.Collection, Devices: q.Devices, From: &q.From, To: &q.To, Fields: q.Fields,
		Limit: uint64(q.Limit), Descending: q.Descending, Consistency: q.Consistency,
		MaxStalenessMs: staleness, Aggregation: q.Aggregation, EveryNs: int64(q.Every),
	}
}

// QueryOf reads a query message.
func QueryOf(m *pb.QueryRequest) (Query, error) {
	q := Query{
		Database: m.GetDatabase(), Collection: m.GetCollection(), Devices: m.GetDevices(), From: storage.MinTime, To: storage.NoEnd,
		Fields: m.GetFields(), Descending: m.GetDescending(), Consistency: m.GetConsistency(),
		MaxStaleness: time.Duration(m.GetMaxStalenessMs()) * time.Millisecond, Aggregation: m.GetAggregation(), Every: time.Duration(m.GetEveryNs()),
	}
	if m.From != nil {
		q.From = m.GetFrom()
	}
	if m.To != nil {
		q.To = m.GetTo()
	}
	if m.GetLimit() > 1<<31-1 {
		return q, api.E(api.InvalidArgument, "leave it out for no limit", "the limit is over 2^31-1")
	}
	q.Limit = int(m.GetLimit())
	if pb.Consistency_name[int32(q.Consistency)] == "" || pb.Aggregation_name[int32(q.Aggregation)] == "" {
		return q, api.E(api.InvalidArgument, "see flotilla.proto", "consistency or aggregation is not known")
	}
	return q, q.validate()
}

// distinct gives each name once, in the order of their first mention. The list
// that was given is left as it is.
func distinct(names []string) []string {
	if len(names) < 2 {
		return names
	}
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if !seen[name] {
			seen[name] = true
			continue
		}
		out := slices.Clone(names[:i])
		for _, name := range names[i+1:] {
			if !seen[name] {
				seen[name] = true
				out = append(out, name)
			}
		}
		return out
	}
	return names
}
