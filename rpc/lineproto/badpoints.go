package lineproto

import (
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// PointsError lists the points of a batch that are wrong: at most
// api.MaxPointErrors of Count, by index.
type PointsError struct {
	Points []api.PointError
	Count  int
}

// Error gives "point 3: why", and how many there are more.
func (e *PointsError) Error() string {
	text := fmt.Sprintf("point %d: %s", e.Points[0].Index, e.Points[0].Reason)
	if e.Count > 1 {
		text += fmt.Sprintf(", and %d points more", e.Count-1)
	}
	return text
}

func (e *PointsError) add(index int, device string, err error) {
	if e.Count++; len(e.Points) < api.MaxPointErrors {
		e.Points = append(e.Points, api.PointError{Index: index, ID: device, Reason: err.Error()})
	}
}

// or gives the points that were found before the text broke off, if any.
func (e *PointsError) or(err error) error {
	if len(e.Points) == 0 {
		return err
	}
	return e
}

// check adds the points that could be read and are against the rules: the
// batch is refused anyway, so its writer learns of all of them at once.
func (e *PointsError) check(points []storage.Point) {
	unread := e.Points
	for i := range points {
		if slices.ContainsFunc(unread, func(p api.PointError) bool { return p.Index == i }) {
			continue
		}
		if err := storage.ValidatePoint(&points[i], storage.DefaultLimits); err != nil {
			e.add(i, points[i].Device, err)
		}
	}
	slices.SortFunc(e.Points, func(a, b api.PointError) int { return a.Index - b.Index })
}
