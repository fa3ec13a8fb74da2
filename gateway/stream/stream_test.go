package stream

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stoa/gateway/client"
)

func TestHoldsIsAskedInParts(t *testing.T) {
	var sizes []int
	all := newRegistry(slog.Default(), func(_ context.Context, tokens []string) ([]bool, error) {
		sizes = append(sizes, len(tokens))
		if len(sizes) == 1 {
			return nil, errors.New("this part failed")
		}
		return make([]bool, len(tokens)), nil
	}, Limits{})
	byToken := map[string][]connection{}
	for i := range 2*holdsAtOnce + 1 {
		byToken[strconv.Itoa(i)] = []connection{&webSocket{}}
	}
	ended, err := all.ended(byToken)
	if !slices.Equal(sizes, []int{holdsAtOnce, holdsAtOnce, 1}) || err == nil || len(ended) != holdsAtOnce+1 {
		t.Errorf("asked for %v, %d have ended, %v", sizes, len(ended), err)
	}
}

func TestSubscriber(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "2001:db8::1": "2001:db8::/64"} {
		if got := subscriber(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s: got %s", address, got)
		}
	}
	if subscriber(netip.Addr{}).IsValid() {
		t.Error("an address that isn't known is somebody's")
	}
}

func TestClipReason(t *testing.T) {
	for _, reason := range []string{strings.Repeat("x", 500), strings.Repeat("ä", 500)} {
		if got := clipReason(reason); len(got) > 123 || !strings.HasSuffix(got, "…") || strings.Contains(got, "\uFFFD") {
			t.Errorf("got %q", got)
		}
	}
}

func FuzzTokenOfParams(f *testing.F) {
	f.Add(`{"authorization":"Bearer abc"}`)
	f.Add(`{"token":"abc","Authorization":null}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, payload string) {
		token, reason := tokenOfParams(json.RawMessage(payload))
		if token != "" && (!client.ValidToken(token) || reason != "") {
			t.Fatalf("%q with %q", token, reason)
		}
	})
}

func TestEventID(t *testing.T) {
	for data, want := range map[string]string{
		`{"articlePublished":{"id":"evt_1","article":{"id":"art_1"}}}`: "evt_1",
		`{"e":{"article":{"id":"art_1"},"id":"evt_2"}}`:                "evt_2",
		`{"e":{"event":"evt_3"}}`:                                      "",
		`{"e":{"id":"evt_4\ndata: {}"}}`:                               "",
		`{"e":{"id":7,"x":"evt_5"}}`:                                   "",
		`{"e":"evt_6"}`:                                                "",
		`null`:                                                         "",
	} {
		if got := eventID([]byte(data)); got != want {
			t.Errorf("%s: %q", data, got)
		}
	}
}
