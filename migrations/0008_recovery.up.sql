-- What providers told us and nothing has come of yet, and the documents that are to be fetched, by
-- id: for going through all of them, page by page, when Temporal has forgotten them.
CREATE INDEX inbox_open ON inbox (id) WHERE status = 'received';
CREATE INDEX documents_waiting ON documents (id) WHERE status = 'waiting';
