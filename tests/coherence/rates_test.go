package coherence

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stoa/access"
	"stoa/tests/redistest"
	"stoa/tests/stoatest"
)

// A client's consumption counts on all replicas together, up to a twentieth of a burst for
// each. While Redis is away each counts alone, and no request waits for it.
func TestReplicasLimitAClientTogether(t *testing.T) {
	t.Parallel()
	const burst, piece, cost = 2000, 100, 21
	uri, redis := stoatest.Database(t), redistest.Start(t)
	settings := stoatest.Settings{"STOA_MONGODB_URI": uri, "STOA_REDIS_URL": redis.URL(), "STOA_RATE": "1", "STOA_RATE_BURST": "2000", "STOA_MAX_COST": "1000", "STOA_RESPONSE_CACHE_BYTES": "0"} // cached responses are free
	replicas := stoatest.StartAll(t, settings, settings)
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

// Consuming units makes no response private, with any token: the account is looked up, but the
// response is the same for everybody, and is cached.
func TestRateSubjectsGetThePublicResponse(t *testing.T) {
	s := stoatest.Start(t, stoatest.Settings{"STOA_RATE": "1000"})
	s.Import(t, stoatest.Articles(2))
	_, ada := stoatest.SignedIn(t, s, "Ada", access.Customer)
	for name, token := range map[string]string{"somebody": ada.Token, "nobody": "stoa_nobodys"} {
		r, err := http.NewRequest("GET", s.URL+"/graphql?query="+url.QueryEscape("{ articles(first: 1) { nodes { title slug "+strings.Repeat("id ", len(name))+"} } }"), nil)
		stoatest.Check(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(r)
		stoatest.Check(t, err)
		response.Body.Close()
		if got := response.Header.Get("Cache-Control"); !strings.HasPrefix(got, "public") {
			t.Errorf("%s's token makes the answer %q", name, got)
		}
		if tags := response.Header.Get("Cache-Tag"); strings.Contains(tags, "ses_") || strings.Contains(tags, "acc_") {
			t.Errorf("%s's answer tells in its tags who asked: %s", name, tags)
		}
	}
}
