package syncing

import (
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

func TestRateIsOfWhatIsUnderWay(t *testing.T) {
	eta := 3.5
	r := resync.Row{Status: resync.Running, Rate: 1e6, EtaS: &eta}
	var j api.Job
	if showRow(&j, r); j.Rate != 1e6 || j.EtaS == nil {
		t.Errorf("%+v", j)
	}
	r.Status = resync.Done
	if showRow(&j, r); j.Rate != 0 || j.EtaS != nil {
		t.Errorf("%+v", j)
	}
}
