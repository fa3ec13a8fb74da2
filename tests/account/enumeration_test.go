package account

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sort"
	"testing"
	"time"

	"stoa/access"
	"stoa/tests/stoatest"
)

// The response to a registration, a sign-in or a request for a reset must not reveal, by
// content or duration, if an address has an account.
//
// Times are compared as distributions, by effect size: with enough samples any difference is
// significant, and on a busy machine all of them are noisy. AUC is the share of pairs in which
// the time of the one kind is longer than that of the other (the U of Mann and Whitney by the
// number of pairs): 0.5 if they can't be told apart, 1 if a single time is enough. KS is the
// greatest distance of the distributions (Kolmogorov-Smirnov's D), which also finds those that
// differ in width alone.
//
// For two times 200 samples of one distribution, AUC deviates by 0.029 (the standard error is
// the root of (m+n+1)/12mn), so that 0.1 is beyond chance; D exceeds 0.25 once in some 150,000
// times (2·exp(-2D²·mn/(m+n))). Only exceeding them twice counts.
const (
	aucWithin = 0.1
	ksWithin  = 0.25
	attempted = 2
	residents = 50 // people with an account
	eachAsked = 4  // times: an address takes four mails at once
	perKind   = residents * eachAsked
)

// auc is the share of pairs with a longer time in a; equal ones count half.
func auc(a, b []time.Duration) float64 {
	sorted := slices.Sorted(slices.Values(b))
	wins := 0.0
	for _, x := range a {
		below := sort.Search(len(sorted), func(i int) bool { return sorted[i] >= x })
		upTo := sort.Search(len(sorted), func(i int) bool { return sorted[i] > x })
		wins += float64(below) + float64(upTo-below)/2
	}
	return wins / float64(len(a)*len(b))
}

// ks is the greatest distance between the distributions of a and b.
func ks(a, b []time.Duration) float64 {
	share := func(sorted []time.Duration, x time.Duration) float64 {
		return float64(sort.Search(len(sorted), func(i int) bool { return sorted[i] > x })) / float64(len(sorted))
	}
	x, y := slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	widest := 0.0
	for _, at := range slices.Concat(x, y) {
		widest = max(widest, share(x, at)-share(y, at), share(y, at)-share(x, at))
	}
	return widest
}

// The measures themselves must detect a difference and pass equal distributions.
func TestDistributionsAreToldApart(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(mean, width float64) []time.Duration {
		out := make([]time.Duration, perKind)
		for i := range out {
			out[i] = time.Duration(mean + width*random.NormFloat64())
		}
		return out
	}
	cases := map[string]struct {
		reason      string
		a, b        []time.Duration
		byAUC, byKS bool
	}{
		"Same":    {"nothing to tell", draw(1e6, 1e5), draw(1e6, 1e5), false, false},
		"Shifted": {"half a standard deviation is what many samples tell", draw(1e6, 1e5), draw(1.05e6, 1e5), true, false},
		"Apart":   {"every sample tells", draw(1e6, 1e4), draw(2e6, 1e4), true, true},
		"Wider":   {"the same mean, another width", draw(1e6, 1e4), draw(1e6, 1e5), false, true},
	}
	for name, c := range cases {
		if got := abs(auc(c.a, c.b)-0.5) > aucWithin; got != c.byAUC {
			t.Errorf("%s (%s): AUC is %.3f", name, c.reason, auc(c.a, c.b))
		}
		if got := ks(c.a, c.b) > ksWithin; got != c.byKS && name != "Shifted" {
			t.Errorf("%s (%s): KS is %.3f", name, c.reason, ks(c.a, c.b))
		}
	}
}

func abs(x float64) float64 { return max(x, -x) }

func TestResponsesDoNotRevealAccounts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute: passwords are hashed a thousand times")
	}
	asks := []struct {
		mutation string
		of       func(email string) stoatest.Input
	}{
		{"accountRegister", func(email string) stoatest.Input {
			return stoatest.Input{"email": email, "password": "a dozen paper boats", "name": "Ruth"}
		}},
		{"sessionCreate", func(email string) stoatest.Input {
			return stoatest.Input{"email": email, "password": "a dozen paper boats"}
		}},
		{"passwordResetRequest", func(email string) stoatest.Input { return stoatest.Input{"email": email} }},
	}
	for _, ask := range asks {
		t.Run(ask.mutation, func(t *testing.T) {
			for attempt := 1; ; attempt++ {
				s := stoatest.StartAll(t, stoatest.Settings{})[0]
				verdict, ok := compareTimes(t, s, ask.mutation, ask.of)
				s.Stop()
				t.Log(verdict)
				if ok {
					return
				}
				if attempt == attempted {
					t.Error("the time that it takes tells whether the address has an account")
					return
				}
			}
		})
	}
}

// compareTimes sends requests for addresses with and without an account, in random order, each
// from a new client. It fails the test if the responses differ.
func compareTimes(t *testing.T, s *stoatest.Stoa, mutation string, of func(string) stoatest.Input) (verdict string, ok bool) {
	t.Helper()
	type sample struct {
		email string
		there bool
	}
	var samples []sample
	for _, p := range stoatest.AddMembers(t, s, residents, access.Customer) {
		nobody := stoatest.NewAddress()
		for range eachAsked {
			samples = append(samples, sample{p.Email, true}, sample{nobody, false})
		}
	}
	rand.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	handler := s.Handler()
	ask := func(email string) (time.Duration, *httptest.ResponseRecorder) {
		request, err := stoatest.NewCaller().Request(t.Context(), "http://localhost", stoatest.Mutation(mutation), map[string]any{"input": of(email)})
		if err != nil {
			t.Fatal(err)
		}
		request.RemoteAddr = "127.0.0.1:1000"
		response := httptest.NewRecorder()
		began := time.Now()
		handler.ServeHTTP(response, request)
		return time.Since(began), response
	}
	for range 5 { // the first ones pay for start-up work
		ask(stoatest.NewAddress())
	}
	runtime.GC()
	took := map[bool][]time.Duration{}
	var halves [2][]time.Duration // of those without an account, by chance
	var first *httptest.ResponseRecorder
	for i, x := range samples {
		if i%40 == 0 { // mails are written beside requests, and would be most of the noise
			stoatest.Await(t, 20*time.Second, "the mails to be sent", func() bool {
				_, waiting, err := s.Store.NextMail(t.Context())
				return err == nil && !waiting
			})
		}
		d, response := ask(x.email)
		took[x.there] = append(took[x.there], d)
		if !x.there {
			half := rand.N(2)
			halves[half] = append(halves[half], d)
		}
		if first == nil {
			first = response
		}
		if response.Code != http.StatusOK || !bytes.Equal(response.Body.Bytes(), first.Body.Bytes()) || !equalHeaders(response.Header(), first.Header()) {
			t.Fatalf("for an address with an account: %t, it answers\n%d %s %v, and for another\n%d %s %v",
				x.there, response.Code, response.Body, response.Header(), first.Code, first.Body, first.Header())
		}
	}
	a, d := auc(took[true], took[false]), ks(took[true], took[false])
	verdict = fmt.Sprintf("%d with an account take %s, %d without %s (medians): AUC %.3f, KS %.3f; two halves of the latter: AUC %.3f, KS %.3f; all answer %s",
		perKind, stoatest.Median(took[true]).Round(time.Microsecond), perKind, stoatest.Median(took[false]).Round(time.Microsecond), a, d,
		auc(halves[0], halves[1]), ks(halves[0], halves[1]), bytes.TrimSpace(first.Body.Bytes()))
	return verdict, abs(a-0.5) <= aucWithin && d <= ksWithin
}

// equalHeaders says whether headers are equal but for the time of day.
func equalHeaders(a, b http.Header) bool {
	x, y := maps.Clone(a), maps.Clone(b)
	x.Del("Date")
	y.Del("Date")
	return maps.EqualFunc(x, y, slices.Equal[[]string])
}
