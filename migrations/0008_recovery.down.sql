DROP INDEX documents_waiting, inbox_open;
