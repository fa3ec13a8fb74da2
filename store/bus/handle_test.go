package bus

// Messages and ticks handled one at a time, in a table: their effect on FreshUntil, drops and
// flushes.

import (
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"
)

// event is a message, or a moment without one, at a time after the start.
type event struct {
	at      time.Duration
	message string // "SENDER NUMBER KIND REST"; "own" for a tick of its own, sent at this moment
}

func TestWhatAReplicaMakesOfMessages(t *testing.T) {
	t.Parallel()
	start := time.Now()
	sent := func(at time.Duration) string { return strconv.FormatInt(start.Add(at).UnixNano(), 36) }
	ms := time.Millisecond
	for name, c := range map[string]struct {
		reason  string
		events  []event
		drops   int
		flushes int
		fresh   time.Duration // FreshUntil, after the start; -1 for never
	}{
		"Nothing":        {"it hasn't heard itself", nil, 0, 0, -1},
		"OthersOnly":     {"that others are heard doesn't say that it is", []event{{0, "peer 1 t "}}, 0, 0, -1},
		"Own":            {"from its own tick on", []event{{0, "own"}}, 0, 0, silence},
		"OwnLate":        {"a tick vouches only for messages from before it was sent", []event{{5 * time.Second, "me 0 t " + sent(0)}}, 0, 0, silence},
		"OwnDrop":        {"its own drops it knows", []event{{0, "own"}, {1, "me 1 d key"}}, 0, 0, silence},
		"Peer":           {"nothing is missing", []event{{0, "own"}, {0, "peer 7 t "}, {1, "peer 8 d key"}, {2, "peer 9 d key"}, {3, "peer 9 t "}, {4, "own"}}, 2, 0, 3 + silence},
		"Newcomer":       {"messages from before its first one can't have been lost since", []event{{0, "own"}, {0, "peer 7 d key"}}, 1, 0, silence},
		"GapBeforeDrop":  {"8 was lost", []event{{0, "own"}, {0, "peer 7 t "}, {1, "peer 9 d key"}}, 1, 1, silence},
		"GapBeforeTick":  {"8 was lost", []event{{0, "own"}, {0, "peer 7 t "}, {1, "peer 8 t "}}, 0, 1, silence},
		"GapBeforeBye":   {"8 was lost, and nobody will tell again", []event{{0, "own"}, {0, "peer 7 t "}, {1, "peer 8 bye "}}, 0, 1, silence},
		"OutOfOrder":     {"9 came before 8", []event{{0, "own"}, {0, "peer 7 t "}, {1, "peer 9 d key"}, {2, "peer 8 d key"}, {3, "peer 9 t "}}, 2, 2, silence},
		"OneFlushOneGap": {"a gap is told once", []event{{0, "own"}, {0, "peer 7 t "}, {1, "peer 9 d key"}, {2, "peer a d key"}, {3, "peer a t "}}, 2, 1, silence},
		"SilentPeer":     {"its messages may be lost", []event{{0, "peer 7 t "}, {0, "own"}, {4000 * ms, "own"}}, 0, 0, silence},
		"GonePeer":       {"nobody waits for it any more; its last messages may be lost, so all is forgotten", []event{{0, "peer 7 t "}, {5001 * ms, "own"}, {6000 * ms, "own"}}, 0, 1, 6*time.Second + silence},
		"PeerThatLeft":   {"it said good-bye", []event{{0, "peer 7 t "}, {1, "peer 7 bye "}, {6000 * ms, "own"}}, 0, 0, 6*time.Second + silence},
		"GoneAndBack":    {"it has lost nothing meanwhile", []event{{0, "peer 7 t "}, {6000 * ms, "own"}, {6001 * ms, "peer 7 t "}}, 0, 1, 6*time.Second + silence},
		"GoneWithAGap":   {"it has lost something meanwhile", []event{{0, "peer 7 t "}, {6000 * ms, "own"}, {6001 * ms, "peer 8 t "}}, 0, 2, 6*time.Second + silence},
		"Unknown":        {"a later version may tell of any change by it", []event{{0, "own"}, {0, "peer 7 t "}, {1, "peer 7 x key"}, {1, "peer 7 t "}}, 0, 1, silence},
		"Garbage":        {"a later version may mean anything by it", []event{{0, "own"}, {1, "whatever"}, {2, "peer ? d key"}}, 0, 2, silence},
	} {
		t.Run(name, func(t *testing.T) {
			e := &ears{}
			b := &Redis{self: "me", heard: e.heard(), log: slog.New(slog.DiscardHandler), peers: map[string]peer{}}
			for _, event := range c.events {
				message := event.message
				if message == "own" {
					message = "me 0 t " + sent(event.at)
				}
				b.handle(message, start.Add(event.at))
			}
			if got := len(e.dropped()); got != c.drops {
				t.Errorf("%d drops, want %d: %s", got, c.drops, c.reason)
			}
			if got := e.flushes(); got != c.flushes {
				t.Errorf("%d flushes, want %d: %s", got, c.flushes, c.reason)
			}
			want := start.Add(c.fresh).UnixNano()
			if c.fresh < 0 {
				want = 0
			}
			if got := b.FreshUntil(); got != want {
				t.Errorf("fresh until %v, want %v: %s", time.Unix(0, got).Sub(start), c.fresh, c.reason)
			}
		})
	}
}

func TestPeersThatAreLongGoneAreForgotten(t *testing.T) {
	t.Parallel()
	b := &Redis{self: "me", heard: (&ears{}).heard(), peers: map[string]peer{}}
	start := time.Now()
	for i := range 100 {
		b.handle(fmt.Sprintf("peer%d 1 t ", i), start)
	}
	for _, at := range []time.Time{start.Add(goneAfter + 1), start.Add(forgetAfter + 1)} {
		b.handle("me 0 t "+strconv.FormatInt(at.UnixNano(), 36), at)
	}
	if n := len(b.peers); n != 1 {
		t.Errorf("%d peers are remembered, want this replica alone", n)
	}
}
