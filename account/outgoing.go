package account

import (
	"context"
	"errors"
	"sync"
	"time"

	"stoa/background"
	"stoa/mail"
	"stoa/problem"
	"stoa/store"
)

const (
	// lookEvery is how often a replica looks whether a mail is to be sent. The look is
	// answered from memory until somebody writes one.
	lookEvery = 250 * time.Millisecond
	// sendLimit is how long sending one mail may take, and takenFor how long nobody else
	// tries in the meantime.
	sendLimit = 20 * time.Second
	takenFor  = time.Minute
	// atOnce is how many mails a replica sends side by side.
	atOnce = 4
	// A mail that can't be sent is tried again after firstPause, then twice as long, at
	// most lastPause, and given up after giveUp: what was asked for is forgotten by then.
	firstPause = 15 * time.Second
	lastPause  = 30 * time.Minute
	giveUp     = 24 * time.Hour
	// sweepEvery is how often what has ended is deleted.
	sweepEvery = time.Hour
)

// tasks are what Run repeats.
func (p *Service) tasks() []background.Task {
	return []background.Task{
		{Every: lookEvery, Trouble: "mails can't be sent for now", Do: p.sendDue},
		{Every: useDelay, Trouble: "the use of sessions can't be noted for now", Do: p.writeLastUses},
		{Every: sweepEvery, Trouble: "what has ended can't be deleted for now", Sweep: true, Later: true, Do: func(ctx context.Context) error {
			return errors.Join(p.Resume(ctx), p.store.Sweep(ctx, now(), now().Add(-p.idle)))
		}},
	}
}

// Run does what is to be done beside requests, until ctx ends: it sends mails, writes
// down which sessions are used, and deletes what has ended. Every replica does so; a
// compare-and-set lets one of them send a mail.
func (p *Service) Run(ctx context.Context) {
	p.background.Run(ctx)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := p.writeLastUses(limited); err != nil {
		p.log.Warn("the use of sessions can't be noted", "error", err)
	}
}

// Quiesce returns when Run has done the work that answers so far have left: mails that are due
// were tried, and the uses of sessions are written down.
func (p *Service) Quiesce(ctx context.Context) error { return p.background.Quiesce(ctx) }

// sendDue sends the mails that are due.
func (p *Service) sendDue(ctx context.Context) error {
	at, ok, err := p.store.NextMail(ctx)
	if err != nil || !ok || at.After(now()) {
		return err
	}
	due, err := p.store.DueMails(ctx, now())
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, l := range due {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := p.send(ctx, l); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// send sends one mail, unless another replica does. Its error is the database's; that
// the mail server refused is noted with the mail.
func (p *Service) send(ctx context.Context, l *store.OutgoingMail) error {
	taken, err := p.store.TakeMail(ctx, l, now().Add(takenFor))
	if err != nil || !taken {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	written, code, err := p.compose(limited, l)
	if err != nil {
		return err
	}
	if written.Kind == "" {
		return p.store.CloseMail(ctx, l.ID) // what it tells of hasn't happened
	}
	err = p.mailer.Send(limited, written)
	if err != nil && code != "" { // each attempt has its own
		_, failed := p.store.DeleteMailCode(context.WithoutCancel(ctx), code)
		err = errors.Join(err, failed)
	}
	switch {
	case err == nil:
	case now().Sub(l.CreatedAt) > giveUp || mail.Permanent(err):
		p.log.Error("a mail can't be sent and is given up", "mail", l.ID, "kind", l.Kind, "error", err)
	default:
		pause := min(firstPause<<min(l.Attempts, 10), lastPause)
		p.log.Warn("a mail can't be sent for now", "mail", l.ID, "kind", l.Kind, "again in", pause.String(), "error", err)
		return p.store.RescheduleMail(ctx, l.ID, now().Add(pause))
	}
	return p.store.CloseMail(context.WithoutCancel(ctx), l.ID)
}

// compose writes a mail, and stores the mail code in it, whose hash it returns: here it is that
// somebody looks whether an address has an account. Its kind is "" where it tells of
// something that hasn't happened. A stranger to whom nobody has written yet isn't greeted by
// name: whoever gave the address chose the name, too.
func (p *Service) compose(ctx context.Context, l *store.OutgoingMail) (mail.Message, string, error) {
	there, err := p.store.SecretByEmail(ctx, l.To)
	has := err == nil
	if err != nil && !problem.Is(err, problem.NotFound) {
		return mail.Message{}, "", err
	}
	out := mail.Message{To: l.To}
	var code *store.MailCode
	switch l.Kind {
	case store.RegisterMail:
		if out.Kind = mail.Registered; has {
			out.Name = there.Name
		} else {
			out.Kind, code = mail.Verify, &store.MailCode{Kind: store.CodeToVerify, Name: l.Name, PasswordHash: l.PasswordHash, EndsAt: now().Add(verifyFor)}
		}
	case store.ResetMail:
		if out.Kind = mail.NoAccount; has {
			out.Name = there.Name
			out.Kind, code = mail.Reset, &store.MailCode{Kind: store.CodeToReset, AccountID: there.ID, Epoch: there.Epoch, EndsAt: now().Add(resetFor)}
		}
	case store.EmailMail:
		if out.Kind = mail.EmailTaken; !has {
			out.Kind, code = mail.EmailChange, &store.MailCode{Kind: store.CodeToChangeEmail, AccountID: l.AccountID, Epoch: l.Epoch, Replaces: l.Other, EndsAt: now().Add(resetFor)}
		}
	case store.PasswordNotice:
		if has && there.ID == l.AccountID && there.Epoch >= l.Epoch {
			out.Kind, out.Name = mail.PasswordChanged, there.Name
		}
	case store.EmailNotice:
		now, err := p.store.SecretOf(ctx, l.AccountID)
		if err != nil && !problem.Is(err, problem.NotFound) {
			return out, "", err
		}
		if err == nil && now.Email == l.Other {
			out.Kind, out.Name, out.Other = mail.EmailChanged, now.Name, l.Other
		}
	}
	if code == nil {
		return out, "", nil
	}
	out.Token, code.Hash = newMailCode()
	out.Until, code.Email = code.EndsAt, l.To
	return out, code.Hash, p.store.AddMailCode(ctx, code)
}
