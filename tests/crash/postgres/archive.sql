ALTER TABLE archive.note ADD COLUMN length int;
UPDATE archive.note SET length = length(text);
CREATE TABLE archive.customer (shop text, id bigint, name text NOT NULL, data jsonb, PRIMARY KEY (shop, id));
CREATE TABLE archive.sale (shop text, id bigint, customer bigint NOT NULL, amount numeric, at timestamptz, raw bytea,
    PRIMARY KEY (shop, id), FOREIGN KEY (shop, customer) REFERENCES archive.customer);
