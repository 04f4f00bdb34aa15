//! A catalog that outlives its process: a record for each database and table below the warehouse.
//!
//! A record is a JSON file whose name is its version; the highest is the one that counts. A change is the creation of the
//! next version, which every store does for one writer only: of two at once one wins, and the other looks again. What is
//! dropped is a version that says so.

mod encode;
mod records;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use firesteel_engine::EngineSession;
use firesteel_plan::SparkResult;

use self::records::{Record, Records};
use super::{Catalog, DEFAULT_DATABASE, Database, SESSION_CATALOG, Table};
use crate::errors;

/// The entry of a database's folder that is the database itself; no table has this name, for names have no slash.
const DATABASE: &str = "/database";

pub struct WarehouseCatalog {
    records: Records,
    warehouse: String,
}

impl fmt::Debug for WarehouseCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarehouseCatalog").field("warehouse", &self.warehouse).finish()
    }
}

impl WarehouseCatalog {
    /// The catalog whose records are in `_firesteel/catalog` of this folder.
    pub fn new(engine: EngineSession, warehouse: &str) -> Self {
        Self { records: Records::new(engine, warehouse), warehouse: warehouse.to_owned() }
    }

    /// The database that is there before anybody makes one.
    fn default_database(&self) -> Database {
        Database {
            name: DEFAULT_DATABASE.to_owned(),
            location: self.warehouse.clone(),
            comment: Some("default database".to_owned()),
            properties: BTreeMap::new(),
        }
    }

    fn decode_database(&self, record: &Record) -> SparkResult<Option<Database>> {
        record.value.as_ref().map(|value| encode::database_from(value, &record.place)).transpose()
    }

    async fn require(&self, database: &str) -> SparkResult<Database> {
        self.database(database).await?.ok_or_else(|| errors::schema_not_found(&qualified(database)))
    }
}

fn key(name: &str) -> String {
    name.to_lowercase()
}

fn qualified(database: &str) -> Vec<String> {
    vec![SESSION_CATALOG.to_owned(), database.to_owned()]
}

#[async_trait]
impl Catalog for WarehouseCatalog {
    fn tell_again(&self, on: bool) -> bool {
        self.records.keep(on);
        true
    }

    async fn databases(&self) -> SparkResult<Vec<Database>> {
        let mut found = BTreeMap::from([(DEFAULT_DATABASE.to_owned(), self.default_database())]);
        for ((folder, _), record) in self.records.below(None, |name| name == DATABASE).await? {
            if let Some(database) = self.decode_database(&record)? {
                found.insert(folder, database);
            }
        }
        Ok(found.into_values().collect())
    }

    async fn database(&self, name: &str) -> SparkResult<Option<Database>> {
        let record = self.records.latest(&key(name), DATABASE).await?;
        match self.decode_database(&record)? {
            None if key(name) == DEFAULT_DATABASE => Ok(Some(self.default_database())),
            found => Ok(found),
        }
    }

    async fn create_database(&self, database: Database) -> SparkResult<()> {
        let folder = key(&database.name);
        let value = encode::database(&database);
        self.records
            .change(&folder, DATABASE, |record| match record.value.is_some() || folder == DEFAULT_DATABASE {
                true => Err(errors::schema_exists(&qualified(&database.name))),
                false => Ok(Some(value.clone())),
            })
            .await
            .map(|_| ())
    }

    async fn drop_database(&self, name: &str) -> SparkResult<()> {
        self.records
            .change(&key(name), DATABASE, |record| match record.value {
                Some(_) => Ok(None),
                None => Err(errors::schema_not_found(&qualified(name))),
            })
            .await
            .map(|_| ())
    }

    async fn alter_database(&self, database: Database) -> SparkResult<()> {
        let folder = key(&database.name);
        let value = encode::database(&database);
        self.records
            .change(&folder, DATABASE, |record| match record.value.is_some() || folder == DEFAULT_DATABASE {
                true => Ok(Some(value.clone())),
                false => Err(errors::schema_not_found(&qualified(&database.name))),
            })
            .await
            .map(|_| ())
    }

    async fn tables(&self, database: &str) -> SparkResult<Vec<Arc<Table>>> {
        self.require(database).await?;
        let mut found = Vec::new();
        for record in self.records.below(Some(&key(database)), |name| name != DATABASE).await?.values() {
            if let Some(value) = &record.value {
                found.push(Arc::new(encode::table_from(value, &record.place)?));
            }
        }
        Ok(found)
    }

    async fn table(&self, database: &str, name: &str) -> SparkResult<Option<Arc<Table>>> {
        let record = self.records.latest(&key(database), &key(name)).await?;
        match &record.value {
            Some(value) => Ok(Some(Arc::new(encode::table_from(value, &record.place)?))),
            None => Ok(None),
        }
    }

    async fn create_table(&self, table: Table, replace: bool) -> SparkResult<()> {
        self.require(&table.database).await?;
        let value = encode::table(&table)?;
        self.records
            .change(&key(&table.database), &key(&table.name), |record| match record.value.is_some() && !replace {
                true => Err(errors::table_exists(&table.full_name())),
                false => Ok(Some(value.clone())),
            })
            .await
            .map(|_| ())
    }

    async fn drop_table(&self, database: &str, name: &str) -> SparkResult<Option<Arc<Table>>> {
        let (folder, name) = (key(database), key(name));
        if self.records.latest(&folder, &name).await?.value.is_none() {
            return Ok(None);
        }
        let before = self.records.change(&folder, &name, |_| Ok(None)).await?;
        match &before.value {
            Some(value) => Ok(Some(Arc::new(encode::table_from(value, &before.place)?))),
            None => Ok(None),
        }
    }
}
