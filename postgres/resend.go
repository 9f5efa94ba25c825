package postgres

import (
	"context"

	"github.com/dealwright/dealwright/pipeline"
)

// Resend makes a delivery due now, whatever has become of it, and its retry schedule begins anew;
// the webhook's workflow has to be woken then. What its entity is about to send, or what waits
// behind an earlier event, is on its way already and left alone. A partner's key finds only the
// deliveries of its own webhooks. It fails with CodeConflict where the webhook is not active.
func (s *Store) Resend(ctx context.Context, companyID, partnerKey, id int64) (pipeline.Delivery, error) {
	err := s.inTx(ctx, "resend delivery", func(tx transaction) error {
		// The webhook is locked, so that whoever switches it off finds the delivery.
		var active []bool
		err := tx.SelectContext(ctx, &active, `SELECT w.active AND w.deleted_at IS NULL FROM webhooks w
			WHERE w.id = (SELECT webhook_id FROM deliveries WHERE id = $1 AND company_id = $2)
			  AND ($3::bigint = 0 OR w.key_id = $3) FOR SHARE`, id, companyID, partnerKey)
		if err != nil {
			return err
		}
		if len(active) == 0 {
			return pipeline.Errorf(pipeline.CodeNotFound, "there is no such delivery")
		}
		if !active[0] {
			return pipeline.Errorf(pipeline.CodeConflict, "the delivery's webhook is not active; enable it first")
		}
		_, err = tx.ExecContext(ctx, `WITH ahead AS (`+bringForward(`(SELECT stream, webhook_id, version FROM deliveries WHERE id = $1)`)+`)
			UPDATE deliveries d SET `+sentAnew+` WHERE d.id = $1 AND `+notOnItsWay, id)
		return err
	})
	if err != nil {
		return pipeline.Delivery{}, err
	}
	return s.Delivery(ctx, companyID, partnerKey, id)
}
