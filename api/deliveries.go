package api

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/dealwright/dealwright/pipeline"
)

const deliveriesPath = "/v1/deliveries/"

// listDeliveries answers GET /v1/deliveries, those of the newest event first; a partner sees
// those of its own webhooks.
func (s *Server) listDeliveries(c *gin.Context) error {
	query := newQuery(c)
	q := pipeline.DeliveryQuery{
		CompanyID: caller(c).CompanyID,
		WebhookID: query.id("webhook_id"),
		Status: pipeline.DeliveryStatus(query.oneOf("status",
			string(pipeline.DeliveryPending), string(pipeline.DeliveryDelivered), string(pipeline.DeliveryExhausted),
			string(pipeline.DeliveryHeld), string(pipeline.DeliverySuperseded), string(pipeline.DeliveryDiscarded))),
		EventID:    query.text("event_id"),
		PartnerKey: partnerKey(c),
		Page:       query.page(),
	}
	if err := query.err(); err != nil {
		return err
	}
	rows, err := s.store.Deliveries(c.Request.Context(), q)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, newList(rows, q.Page, func(d pipeline.Delivery) int64 { return d.ID }))
}

// getDelivery answers GET /v1/deliveries/{id}.
func (s *Server) getDelivery(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	delivery, err := s.store.Delivery(c.Request.Context(), caller(c).CompanyID, partnerKey(c), id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, delivery)
}

// resendDelivery answers POST /v1/deliveries/{id}/resend: the delivery is due now, whatever has
// become of it, and its retry schedule begins anew.
func (s *Server) resendDelivery(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := decodeNothing(c); err != nil {
		return err
	}
	ctx := c.Request.Context()
	delivery, err := s.store.Resend(ctx, caller(c).CompanyID, partnerKey(c), id)
	if err != nil {
		return err
	}
	s.wake(ctx, delivery.WebhookID)
	return accepted(c, deliveriesPath+strconv.FormatInt(delivery.ID, 10), delivery)
}
