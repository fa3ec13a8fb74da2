package account

// Outgoing mails, and the work that Run does beside requests. write and announced store a
// mail; sendDue sends the mails that are due; compose makes the text and the code in it.

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
	// lookEvery is the interval at which a replica looks for mails to send. The look is served
	// from memory until a mail is written.
	lookEvery = 250 * time.Millisecond
	// sendLimit bounds the sending of one mail. For takenFor no other replica tries to send
	// it.
	sendLimit = 20 * time.Second
	takenFor  = time.Minute
	// atOnce is the number of mails that a replica sends at the same time.
	atOnce = 4
	// After a failure, a mail is tried again after firstPause, then after twice the pause each
	// time, at most lastPause. It is given up after giveUp: its reader no longer waits for it.
	firstPause = 15 * time.Second
	lastPause  = 30 * time.Minute
	giveUp     = 24 * time.Hour
	// sweepEvery is the interval at which expired sessions, codes and mails are deleted.
	sweepEvery = time.Hour
)

// tasks returns the work that Run repeats.
func (p *Service) tasks() []background.Task {
	return []background.Task{
		{Every: lookEvery, Trouble: "mails can't be sent for now", Do: p.sendDue},
		{Every: useDelay, Trouble: "the use of sessions can't be noted for now", Do: p.writeLastUses},
		{Every: sweepEvery, Trouble: "what has ended can't be deleted for now", Sweep: true, Later: true, Do: func(ctx context.Context) error {
			return errors.Join(p.Resume(ctx), p.store.Sweep(ctx, store.Now(), store.Now().Add(-p.idle)))
		}},
	}
}

// Run does the work beside requests until ctx ends: it sends mails, writes the last uses of
// sessions, and deletes expired sessions, codes and mails. Every replica runs it; a
// compare-and-set lets one of them send each mail.
func (p *Service) Run(ctx context.Context) {
	p.background.Run(ctx)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := p.writeLastUses(limited); err != nil {
		p.log.Warn("the use of sessions can't be noted", "error", err)
	}
}

// Quiesce returns when Run has done the work that past requests have left: the due mails have
// been tried, and the last uses of sessions have been written.
func (p *Service) Quiesce(ctx context.Context) error { return p.background.Quiesce(ctx) }

// sendDue sends the mails that are due.
func (p *Service) sendDue(ctx context.Context) error {
	at, ok, err := p.store.NextMail(ctx)
	if err != nil || !ok || at.After(store.Now()) {
		return err
	}
	due, err := p.store.DueMails(ctx, store.Now())
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

// send sends one mail, unless another replica has taken it. It returns errors of the database
// only; a refusal by the mail server is logged, and the mail is rescheduled or given up.
func (p *Service) send(ctx context.Context, l *store.OutgoingMail) error {
	taken, err := p.store.TakeMail(ctx, l, store.Now().Add(takenFor))
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
		return p.store.CloseMail(ctx, l.ID) // the change that it announces didn't happen
	}
	err = p.mailer.Send(limited, written)
	if err != nil && code != "" { // each attempt has its own code
		_, failed := p.store.DeleteMailCode(context.WithoutCancel(ctx), code)
		err = errors.Join(err, failed)
	}
	switch {
	case err == nil:
	case store.Now().Sub(l.CreatedAt) > giveUp || mail.Permanent(err):
		p.log.Error("a mail can't be sent and is given up", "mail", l.ID, "kind", l.Kind, "error", err)
	default:
		pause := min(firstPause<<min(l.Attempts, 10), lastPause)
		p.log.Warn("a mail can't be sent for now", "mail", l.ID, "kind", l.Kind, "again in", pause.String(), "error", err)
		return p.store.RescheduleMail(ctx, l.ID, store.Now().Add(pause))
	}
	return p.store.CloseMail(context.WithoutCancel(ctx), l.ID)
}

// compose writes a mail, stores the code in it and returns the code's hash. Only here is it
// looked up if an address has an account, after the response. The message's kind is "" if the
// change to be announced didn't happen. An address that may be a stranger's gets no greeting
// by name, since the name may have been made up by the sender of the request. The kind is also ""
// for an answer that mayReset declines, at the first attempt to send it.
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
			out.Kind, code = mail.Verify, &store.MailCode{Kind: store.CodeToVerify, Name: l.Name, PasswordHash: l.PasswordHash, EndsAt: store.Now().Add(verifyFor)}
		}
	case store.ResetMail:
		if l.Attempts == 0 {
			if may, err := p.mayReset(ctx, l.To, there); err != nil || !may {
				return out, "", err
			}
		}
		if out.Kind = mail.NoAccount; has {
			out.Name = there.Name
			out.Kind, code = mail.Reset, &store.MailCode{Kind: store.CodeToReset, AccountID: there.ID, Epoch: there.Epoch, EndsAt: store.Now().Add(resetFor)}
		}
	case store.EmailMail:
		if out.Kind = mail.EmailTaken; !has {
			out.Kind, code = mail.EmailChange, &store.MailCode{Kind: store.CodeToChangeEmail, AccountID: l.AccountID, Epoch: l.Epoch, Replaces: l.Other, EndsAt: store.Now().Add(resetFor)}
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
