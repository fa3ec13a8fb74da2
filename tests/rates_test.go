package tests

import (
	"net/http"
	"testing"
	"time"

	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// What a client spends counts on all replicas together, up to a twentieth of a burst for each,
// and while Redis is away each counts for itself; nobody waits for it.
func TestReplicasChargeAClientTogether(t *testing.T) {
	t.Parallel()
	const burst, piece, cost = 2000, 100, 21
	uri, redis := stoatest.Database(t), redistest.Start(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL(), "STOA_RATE": "1", "STOA_RATE_BURST": "2000", "STOA_MAX_COST": "1000"}
	replicas := startAll(t, settings, settings)
	spend := func(from string) (answered int) {
		refused := 0
		for i := 0; refused < len(replicas); i++ {
			a, err := replicas[i%2].Send(stoatest.Request{Query: `{ tags { nodes { id } } }`, Header: map[string]string{"X-Forwarded-For": from}})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case a.Status == http.StatusOK && len(a.Errors) == 0:
				answered, refused = answered+1, 0
			case a.Status == http.StatusTooManyRequests && a.Errors[0].Extensions["code"] == "THROTTLED" && a.Errors[0].Extensions["retryAfter"] != nil:
				refused++
			default:
				t.Fatalf("%d %s", a.Status, a.Raw)
			}
		}
		return answered
	}
	began := time.Now()
	n := spend("198.18.1.1")
	most := (burst+2*piece+int(time.Since(began).Seconds()))/cost + 1
	if least := (burst - 2*piece) / cost; n < least || n > most {
		t.Errorf("%d answers of %d units for a burst of %d, where %d to %d are right", n, cost, burst, least, most)
	}
	redis.Kill(t)
	n = spend("198.18.1.2")
	if least := burst / cost; n < least || n > 2*(most+1) {
		t.Errorf("without Redis %d answers, where each of two replicas gives %d", n, least)
	}
}
