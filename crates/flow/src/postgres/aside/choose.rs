//! Which indexes and foreign keys can be taken down: those of large tables that are ours and empty, and on which nothing
//! leans that stays.

use std::collections::{BTreeMap, BTreeSet};

use postgres::GenericClient;

use super::definition::{Definition, Foreign, Index, Key};
use crate::error::FlowError;
use crate::job::TableName;

/// How many tables lose their indexes, the largest first: all that is taken down is locked in one transaction, and a server
/// has room for some thousand locks.
const TABLES: usize = 100;

/// A table that will be filled.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    /// Its number in the catalog.
    pub oid: u32,
    /// About how many rows it will get.
    pub rows: u64,
    /// Whether a lookup searches it meanwhile.
    pub searched: bool,
}

/// An index as it was found.
#[derive(Debug, Clone)]
struct FoundIndex {
    table: u32,
    /// Foreign keys that need it, by their numbers.
    needed_by: Vec<u32>,
    definition: Index,
}

/// A foreign key as it was found.
#[derive(Debug, Clone)]
struct FoundForeign {
    oid: u32,
    from: u32,
    to: u32,
    /// Whether rights and marks allow to take it down.
    may: bool,
    definition: Foreign,
}

/// What is taken down, in the order of its going: foreign keys in the order that they were made in, then indexes, those of
/// the largest tables first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub definitions: Vec<Definition>,
    /// The foreign keys among it, by their numbers.
    pub foreign: BTreeSet<u32>,
    /// The tables that are locked for it, by their numbers.
    pub locked: BTreeSet<u32>,
}

/// Looks what can be taken down of `filled` where `from` rows or more are expected, and whether the foreign keys of `must` can
/// be, however few the rows. Reads only.
pub(super) fn choose(
    client: &mut impl GenericClient,
    filled: &[Filled],
    from: u64,
    must: &BTreeSet<u32>,
) -> Result<Chosen, FlowError> {
    if must.is_empty() && filled.iter().all(|table| table.rows < from) {
        return Ok(Chosen::default());
    }
    let oids: Vec<u32> = filled.iter().map(|table| table.oid).collect();
    let ask = || FlowError::server("read the indexes of the target");
    // A program that reacts to changes of the catalog would react to ours.
    let watched: bool = client
        .query_one("SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D')", &[])
        .map_err(ask())?
        .get(0);
    if watched {
        return Ok(Chosen::default());
    }
    let mut may = BTreeSet::new();
    for row in client.query(TABLES_SQL, &[&oids]).map_err(ask())? {
        let (oid, name): (u32, String) = (row.get(0), row.get(1));
        let held =
            client.query_one(&format!("SELECT EXISTS (SELECT FROM ONLY {name})"), &[]).map_err(ask())?;
        if !held.get::<_, bool>(0) {
            may.insert(oid);
        }
    }
    let (indexes, foreigns) = (indexes(client, &oids)?, foreigns(client, &oids)?);
    Ok(select(filled, (from, must), &may, indexes, foreigns))
}

/// The rule by itself.
fn select(
    filled: &[Filled],
    (from, must): (u64, &BTreeSet<u32>),
    may: &BTreeSet<u32>,
    indexes: Vec<FoundIndex>,
    foreigns: Vec<FoundForeign>,
) -> Chosen {
    let mut large: Vec<&Filled> =
        filled.iter().filter(|table| may.contains(&table.oid) && table.rows >= from).collect();
    large.sort_by_key(|table| (std::cmp::Reverse(table.rows), table.oid));
    large.truncate(TABLES);
    let place: BTreeMap<u32, usize> = large.iter().enumerate().map(|(at, table)| (table.oid, at)).collect();
    let is_large = |oid: &u32| place.contains_key(oid);
    let mut chosen = Chosen::default();
    for foreign in foreigns {
        let wanted = is_large(&foreign.from) || is_large(&foreign.to) || must.contains(&foreign.oid);
        if foreign.may && may.contains(&foreign.from) && wanted {
            chosen.foreign.insert(foreign.oid);
            chosen.locked.extend([foreign.from, foreign.to]);
            chosen.definitions.push(Definition::Foreign(foreign.definition));
        }
    }
    let searched: BTreeSet<u32> =
        filled.iter().filter(|table| table.searched).map(|table| table.oid).collect();
    let mut indexes: Vec<(usize, FoundIndex)> = indexes
        .into_iter()
        .filter(|index| !searched.contains(&index.table))
        .filter(|index| index.needed_by.iter().all(|foreign| chosen.foreign.contains(foreign)))
        .filter_map(|index| Some((*place.get(&index.table)?, index)))
        .collect();
    indexes.sort_by(|(one, left), (other, right)| {
        one.cmp(other).then_with(|| left.definition.name.cmp(&right.definition.name))
    });
    for (_, index) in indexes {
        chosen.locked.insert(index.table);
        chosen.definitions.push(Definition::Index(index.definition));
    }
    chosen
}

/// Tables of our own that stand alone: no part or parent of others, no part of an extension.
const TABLES_SQL: &str = "SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.oid = ANY ($1::oid[]) AND c.relkind = 'r' AND c.relpersistence IN ('p', 'u') AND NOT c.relispartition \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE c.oid IN (h.inhrelid, h.inhparent)) \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass \
        AND e.objid = c.oid AND e.deptype = 'e') \
      AND pg_catalog.pg_has_role(c.relowner, 'USAGE') AND pg_catalog.has_schema_privilege(c.relnamespace, 'CREATE')";

/// Indexes that are whole, plain or behind a key, and on which nothing leans but foreign keys.
const INDEXES: &str = "SELECT i.indrelid, \
      (SELECT coalesce(array_agg(d.objid), '{}') FROM pg_catalog.pg_depend d \
        WHERE d.classid = 'pg_catalog.pg_constraint'::regclass AND (d.refclassid = 'pg_catalog.pg_class'::regclass \
        AND d.refobjid = x.oid OR d.refclassid = 'pg_catalog.pg_constraint'::regclass AND d.refobjid = k.oid)), \
      n.nspname::text, t.relname::text, x.relname::text, pg_catalog.pg_get_indexdef(x.oid), s.spcname::text, \
      pg_catalog.obj_description(x.oid, 'pg_class'), i.indisclustered, i.indisreplident, \
      (SELECT coalesce(array_agg(ARRAY[a.attnum::int4, a.attstattarget::int4] ORDER BY a.attnum), '{}') \
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0)::text, \
      k.contype::text, coalesce(k.condeferrable, false), coalesce(k.condeferred, false), \
      pg_catalog.obj_description(k.oid, 'pg_constraint'), \
      (SELECT coalesce(array_agg(a.attname::text ORDER BY c.at), '{}') FROM unnest(k.conkey) WITH ORDINALITY c(attnum, at) \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.attnum) \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relkind = 'i' \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    JOIN pg_catalog.pg_am m ON m.oid = x.relam LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = x.reltablespace \
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = x.oid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x') \
    WHERE i.indrelid = ANY ($1::oid[]) AND i.indisvalid AND i.indisready AND i.indislive AND NOT x.relispartition \
      AND NOT i.indisexclusion AND (k.oid IS NULL OR k.contype IN ('p', 'u') AND m.amname = 'btree' AND k.conname = x.relname) \
      AND (x.reltablespace = 0 OR pg_catalog.has_tablespace_privilege(x.reltablespace, 'CREATE')) \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.oid \
        AND d.deptype IN ('e', 'x')) \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE (d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = x.oid \
          OR d.refclassid = 'pg_catalog.pg_constraint'::regclass AND d.refobjid = k.oid) \
        AND NOT (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.oid) \
        AND NOT (d.classid = 'pg_catalog.pg_trigger'::regclass AND d.deptype = 'i' AND EXISTS (SELECT FROM pg_catalog.pg_trigger g \
          WHERE g.oid = d.objid AND g.tgenabled = 'O')) \
        AND NOT (d.classid = 'pg_catalog.pg_constraint'::regclass AND EXISTS (SELECT FROM pg_catalog.pg_constraint f \
          WHERE f.oid = d.objid AND f.contype = 'f'))) \
    ORDER BY x.oid";

/// Foreign keys from and to the tables. Those of partitions, and those whose triggers somebody changed, stay; so do those to
/// a schema in which nothing is filled.
const FOREIGNS: &str = "SELECT f.oid, f.conrelid, f.confrelid, \
      f.conparentid = 0 AND f.conislocal AND f.coninhcount = 0 AND r.relkind = 'r' AND t.relkind = 'r' \
        AND r.relnamespace IN (SELECT o.relnamespace FROM pg_catalog.pg_class o WHERE o.oid = ANY ($1::oid[])) \
        AND coalesce(pg_catalog.to_jsonb(f) ->> 'conenforced', 'true') = 'true' \
        AND pg_catalog.has_table_privilege(f.confrelid, 'REFERENCES') \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgconstraint = f.oid AND g.tgenabled <> 'O') \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_constraint'::regclass \
          AND d.refobjid = f.oid AND d.deptype <> 'i'), \
      tn.nspname::text, t.relname::text, f.conname::text, rn.nspname::text, r.relname::text, \
      pg_catalog.pg_get_constraintdef(f.oid), f.convalidated, pg_catalog.obj_description(f.oid, 'pg_constraint') \
    FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class t ON t.oid = f.conrelid \
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace JOIN pg_catalog.pg_class r ON r.oid = f.confrelid \
    JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace \
    WHERE f.contype = 'f' AND (f.conrelid = ANY ($1::oid[]) OR f.confrelid = ANY ($1::oid[])) ORDER BY f.oid";

fn indexes(client: &mut impl GenericClient, tables: &[u32]) -> Result<Vec<FoundIndex>, FlowError> {
    let rows =
        client.query(INDEXES, &[&tables]).map_err(FlowError::server("read the indexes of the target"))?;
    let read = |row: postgres::Row| {
        let statistics: String = row.get(10);
        let key = row.get::<_, Option<String>>(11).map(|sort| Key {
            primary: sort == "p",
            deferrable: row.get(12),
            deferred: row.get(13),
            comment: row.get(14),
            columns: row.get(15),
        });
        FoundIndex {
            table: row.get(0),
            needed_by: row.get(1),
            definition: Index {
                table: TableName { schema: row.get(2), table: row.get(3) },
                name: row.get(4),
                text: row.get(5),
                tablespace: row.get(6),
                comment: row.get(7),
                clustered: row.get(8),
                identity: row.get(9),
                statistics: pairs(&statistics),
                key,
            },
        }
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Reads `{{1,500},{3,0}}`.
fn pairs(text: &str) -> Vec<(i32, i32)> {
    let numbers: Vec<i32> = text.split(['{', '}', ',']).filter_map(|number| number.parse().ok()).collect();
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn foreigns(client: &mut impl GenericClient, tables: &[u32]) -> Result<Vec<FoundForeign>, FlowError> {
    let rows = client
        .query(FOREIGNS, &[&tables])
        .map_err(FlowError::server("read the foreign keys of the target"))?;
    let read = |row: postgres::Row| FoundForeign {
        oid: row.get(0),
        from: row.get(1),
        to: row.get(2),
        may: row.get(3),
        definition: Foreign {
            table: TableName { schema: row.get(4), table: row.get(5) },
            name: row.get(6),
            to: TableName { schema: row.get(7), table: row.get(8) },
            text: row.get(9),
            validated: row.get(10),
            comment: row.get(11),
        },
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Reads one definition as it is now; `None` when there is no such object, or it became one that is not taken down.
pub(super) fn now(
    client: &mut impl GenericClient,
    wanted: &Definition,
) -> Result<Option<Definition>, FlowError> {
    let doing = || FlowError::server(format!("read {} back", wanted.describe()));
    let table = wanted.table();
    let sql = "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'";
    let schema = super::definition::schema(table);
    let Some(row) = client.query_opt(sql, &[&schema, &table.table]).map_err(doing())? else {
        return Ok(None);
    };
    let oid: u32 = row.get(0);
    let found: Vec<Definition> = match wanted {
        Definition::Index(_) => {
            indexes(client, &[oid])?.into_iter().map(|index| Definition::Index(index.definition)).collect()
        }
        Definition::Foreign(_) => foreigns(client, &[oid])?
            .into_iter()
            .filter(|foreign| foreign.from == oid)
            .map(|foreign| Definition::Foreign(foreign.definition))
            .collect(),
    };
    Ok(found.into_iter().find(|found| found.name() == wanted.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(oid: u32) -> TableName {
        TableName { schema: Some("s".to_owned()), table: format!("t{oid}") }
    }

    fn index(table: u32, name_of: &str, needed_by: Vec<u32>) -> FoundIndex {
        let definition = Index {
            table: name(table),
            name: name_of.to_owned(),
            text: String::new(),
            tablespace: None,
            comment: None,
            clustered: false,
            identity: false,
            statistics: vec![],
            key: None,
        };
        FoundIndex { table, needed_by, definition }
    }

    fn foreign(oid: u32, from: u32, to: u32, may: bool) -> FoundForeign {
        let definition = Foreign {
            table: name(from),
            name: format!("f{oid}"),
            to: name(to),
            text: String::new(),
            validated: true,
            comment: None,
        };
        FoundForeign { oid, from, to, may, definition }
    }

    fn filled(oid: u32, rows: u64) -> Filled {
        Filled { oid, rows, searched: false }
    }

    fn names(chosen: &Chosen) -> Vec<&str> {
        chosen.definitions.iter().map(Definition::name).collect()
    }

    #[test]
    fn large_tables_lose_theirs_the_largest_first_and_small_ones_keep_theirs() {
        let tables = [filled(1, 100), filled(2, 900), filled(3, 5)];
        let indexes = vec![index(1, "a", vec![]), index(2, "b", vec![]), index(3, "c", vec![])];
        let chosen = select(&tables, (50, &BTreeSet::new()), &BTreeSet::from([1, 2, 3]), indexes, vec![]);
        assert_eq!(names(&chosen), ["b", "a"]);
        assert_eq!(chosen.locked, BTreeSet::from([1, 2]));
    }

    #[test]
    fn a_foreign_key_that_must_go_goes_however_few_the_rows_if_its_table_is_empty() {
        let (tables, both) =
            ([filled(1, 5), filled(2, 5)], || vec![foreign(7, 1, 2, true), foreign(8, 2, 1, true)]);
        let go = |may: &[u32]| {
            let may = may.iter().copied().collect();
            select(&tables, (50, &BTreeSet::from([7, 8])), &may, vec![index(1, "key", vec![8])], both())
        };
        assert_eq!((names(&go(&[1, 2])), go(&[1, 2]).foreign), (vec!["f7", "f8"], BTreeSet::from([7, 8])));
        assert_eq!(go(&[2]).foreign, BTreeSet::from([8]));
    }

    #[test]
    fn what_is_searched_or_not_ours_or_not_empty_stays() {
        let tables = [Filled { searched: true, ..filled(1, 100) }, filled(2, 100)];
        let indexes = vec![index(1, "a", vec![]), index(2, "b", vec![])];
        assert_eq!(
            select(&tables, (50, &BTreeSet::new()), &BTreeSet::from([1]), indexes, vec![]),
            Chosen::default()
        );
    }

    #[test]
    fn an_index_goes_only_with_every_foreign_key_that_needs_it() {
        let tables = [filled(1, 100), filled(2, 5)];
        let both = BTreeSet::from([1, 2]);
        let key = || vec![index(1, "key", vec![7])];
        // A small table of ours refers to it.
        let chosen = select(&tables, (50, &BTreeSet::new()), &both, key(), vec![foreign(7, 2, 1, true)]);
        assert_eq!(names(&chosen), ["f7", "key"]);
        // One that has rows, or is somebody else's; or a foreign key that has to stay.
        assert!(
            names(&select(&tables, (50, &BTreeSet::new()), &both, key(), vec![foreign(7, 9, 1, true)]))
                .is_empty()
        );
        assert!(
            names(&select(&tables, (50, &BTreeSet::new()), &both, key(), vec![foreign(7, 2, 1, false)]))
                .is_empty()
        );
    }

    #[test]
    fn numbers_of_columns_are_read() {
        assert_eq!(pairs("{{1,500},{3,0}}"), [(1, 500), (3, 0)]);
        assert!(pairs("{}").is_empty());
    }
}
